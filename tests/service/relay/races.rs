//! Registrations, clients' refreshes and servers' callers meet at one login on three replicas, whose store answers each of
//! them late and in any order. Nothing is presented twice, and all of them end with the same login.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use tempfile::TempDir;
use tokenward_control::clock::SystemClock;
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::{
    Cursor, Entry, Expected, Key, LeaseAnswer, LeaseOwner, Lineage, Page, Store, StoreError, StreamEntry,
    StreamFrom, StreamLimit, WriteOutcome,
};
use tokenward_harness::issuer::LoginTokens;
use tokio::task::JoinSet;

use super::stage::{Held, behind_a_relay};
use crate::deployment::{Deployment, Plan, RelayCall, TokenCall, email, with_users};

const USERS: usize = 40;
/// The longest delay of a store operation, before it is carried out and after.
const LONGEST_DELAY_MS: u64 = 12;
const DEADLINE: Duration = Duration::from_secs(60);

/// A store whose operations take a random time before and after they are carried out.
#[derive(Debug)]
struct ShuffledStore(EmbeddedStore);

async fn delay() {
    let random = getrandom::u64().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(random % (LONGEST_DELAY_MS + 1))).await;
}

/// `operation`, with a random delay on both sides.
async fn shuffled<T>(operation: impl Future<Output = T>) -> T {
    delay().await;
    let result = operation.await;
    delay().await;
    result
}

#[async_trait]
impl Store for ShuffledStore {
    fn engine(&self) -> &'static str {
        self.0.engine()
    }

    async fn read(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        shuffled(self.0.read(key)).await
    }

    async fn write(
        &self,
        key: &Key,
        expected: Expected,
        value: &[u8],
        lifetime: Option<Duration>,
    ) -> Result<WriteOutcome, StoreError> {
        shuffled(self.0.write(key, expected, value, lifetime)).await
    }

    async fn delete(&self, key: &Key, expected: Expected) -> Result<WriteOutcome, StoreError> {
        shuffled(self.0.delete(key, expected)).await
    }

    async fn list(&self, kind: &str, after: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.0.list(kind, after, limit).await
    }

    async fn add_member(&self, set: &Key, member: &str, lifetime: Duration) -> Result<(), StoreError> {
        shuffled(self.0.add_member(set, member, lifetime)).await
    }

    async fn remove_member(&self, set: &Key, member: &str) -> Result<(), StoreError> {
        shuffled(self.0.remove_member(set, member)).await
    }

    async fn members(&self, set: &Key) -> Result<Vec<String>, StoreError> {
        shuffled(self.0.members(set)).await
    }

    async fn append(&self, stream: &Key, values: &[Vec<u8>], limit: StreamLimit) -> Result<(), StoreError> {
        self.0.append(stream, values, limit).await
    }

    async fn entries(
        &self,
        stream: &Key,
        from: StreamFrom<'_>,
        limit: usize,
    ) -> Result<Vec<StreamEntry>, StoreError> {
        self.0.entries(stream, from, limit).await
    }

    async fn acquire_lease(
        &self,
        name: &Key,
        owner: &LeaseOwner,
        lifetime: Duration,
    ) -> Result<LeaseAnswer, StoreError> {
        shuffled(self.0.acquire_lease(name, owner, lifetime)).await
    }

    async fn release_lease(&self, name: &Key, owner: &LeaseOwner) -> Result<bool, StoreError> {
        shuffled(self.0.release_lease(name, owner)).await
    }

    async fn lineage(&self, key: &Key) -> Result<Option<Lineage>, StoreError> {
        self.0.lineage(key).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.0.ping().await
    }
}

/// How control first learns of a user's login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Relay,
    Registration,
    Refresh,
}

async fn all_meet(policy: &'static str) -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-races-")?;
    let file = folder.path().join("store");
    let engine = EmbeddedStore::open(file, Duration::from_secs(20), Arc::new(SystemClock)).await?;
    let plan = Plan {
        engine: Some(Arc::new(ShuffledStore(engine))),
        policy,
        dex: with_users(Plan::default().dex, USERS),
        ..Plan::default()
    };
    let deployment = Arc::new(behind_a_relay(3, plan).await?);
    let mut logins = Vec::new();
    for user in 0..USERS {
        let first = [First::Relay, First::Registration, First::Refresh][user % 3];
        logins.push(login(&deployment, user, first).await?);
    }
    deployment.advance(301);
    let mut stories = JoinSet::new();
    for (user, login) in logins.into_iter().enumerate() {
        let deployment = Arc::clone(&deployment);
        stories.spawn(async move {
            let met = meet(&deployment, user, &login).await;
            met.with_context(|| format!("user {user}"))
        });
    }
    while let Some(story) = stories.join_next().await {
        story??;
    }
    let mut presented: HashMap<String, usize> = HashMap::new();
    for presentation in deployment.dex.presentations() {
        *presented.entry(presentation.fingerprint).or_default() += 1;
    }
    let twice: Vec<_> = presented.iter().filter(|(_, times)| **times > 1).collect();
    assert_eq!((presented.len(), twice), (USERS, Vec::new()), "{policy}");
    let counts = deployment.dex.counts();
    assert_eq!(counts.refreshes_succeeded, USERS, "{policy}");
    Ok(())
}

async fn login(deployment: &Deployment, user: usize, first: First) -> anyhow::Result<LoginTokens> {
    if first == First::Relay {
        let held = Held::of(&deployment.relayed_login(0, &email(user)).send().await?);
        return Ok(LoginTokens {
            access_token: held.access_token,
            id_token: held.id_token,
            refresh_token: held.refresh_token,
        });
    }
    let tokens = deployment.dex.log_in(&email(user), "muster").await?;
    if first == First::Registration {
        deployment.put_login(&format!("before-{user}"), &tokens).await?;
    }
    Ok(tokens)
}

/// The user's client refreshes on every replica in two processes, its aggregator registers the login, and servers need its
/// token, all at once.
async fn meet(deployment: &Arc<Deployment>, user: usize, login: &LoginTokens) -> anyhow::Result<()> {
    let session = format!("s-{user}");
    let mut clients = JoinSet::new();
    for caller in 0..4 {
        clients.spawn(held_in_the_end(
            deployment.relayed_refresh(caller % 3, &login.refresh_token),
        ));
    }
    let registered = {
        let (deployment, login, session) = (Arc::clone(deployment), login.clone(), session.clone());
        tokio::spawn(async move { deployment.put_login(&session, &login).await })
    };
    let of_server = deployment.ask(&login.id_token).replica(user % 3);
    let (put, asked) = tokio::join!(registered, of_server.send());
    let (put, asked) = (put??, asked?);
    ensure!(matches!(put.status, 200 | 201), "{user}: PUT answered {put:?}");
    // Before anything was known of the login there was none to refresh.
    ensure!(matches!(asked.status, 200 | 400 | 503), "{user}: {asked:?}");
    let mut held = Vec::new();
    while let Some(client) = clients.join_next().await {
        held.push(client??);
    }
    held.dedup();
    ensure!(held.len() == 1, "{user}: {} answers", held.len());
    let newest = &held[0];
    let served = token_in_the_end(&deployment.ask(&login.id_token).session(&session)).await?;
    ensure!(
        served == newest.id_token,
        "{user}: the session has other tokens than the client"
    );
    let again = held_in_the_end(deployment.relayed_refresh(user % 3, &newest.refresh_token)).await?;
    ensure!(again == *newest, "{user}: the client has lost its place");
    Ok(())
}

async fn held_in_the_end(call: RelayCall) -> anyhow::Result<Held> {
    let limit = Instant::now() + DEADLINE;
    loop {
        let answer = call.send().await?;
        match answer.status {
            200 => return Ok(Held::of(&answer)),
            503 if Instant::now() < limit => delay().await,
            status => bail!("{status}: {}", answer.text("error_description")),
        }
    }
}

async fn token_in_the_end(call: &TokenCall) -> anyhow::Result<String> {
    let limit = Instant::now() + DEADLINE;
    loop {
        let answer = call.send().await?;
        match answer.status {
            200 => return Ok(answer.token().to_owned()),
            503 if Instant::now() < limit => delay().await,
            status => bail!("{status}: {}", answer.text("error_description")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_meet_at_a_tolerant_issuers_login_cause_one_refresh() -> anyhow::Result<()> {
    all_meet("tolerant").await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_meet_at_a_strict_issuers_login_cause_one_refresh() -> anyhow::Result<()> {
    all_meet("strict").await
}
