//! Control services in front of a realm of their own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenward_harness::parts::keycloak::{self, Login, Realm, RealmPlan};
use tokenward_tests::deployment::{Answer, Deployment, Ending, Plan, Processes, TokenCall};

/// The client of the logins, and its secret with letters that a careless client encodes wrongly.
pub(crate) const CLIENT: (&str, &str) = ("muster", "s+e/c%r=e:t;&?");
pub(crate) const ALICE: &str = "alice@example.com";
pub(crate) const BOB: &str = "bob@example.com";
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A login's own tokens are stale from the beginning: they live shorter than the margin.
const STALE_AT_ONCE: Duration = Duration::from_secs(2);
/// What a refresh brings is good until the end of any story.
const LASTING: Duration = Duration::from_secs(900);
const MARGIN: &str = "5s";
/// The lease of one that was killed lasts as long as an issuer's answer and two of the store may take.
const ISSUER_TIMEOUT: &str = "5s";
const LEASE: &str = "10s";
const STORE_DEADLINE: &str = "2s";
/// So that a machine that stands still for some seconds changes no answer.
const CALLER_DEADLINE: &str = "20s";
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(crate) struct Stage {
    pub(crate) realm: Realm,
    pub(crate) deployment: Deployment<Processes, ()>,
}

/// A realm with the users of most stories, whose logins are stale from the beginning.
pub(crate) fn plan_of_realm() -> RealmPlan {
    RealmPlan::strict(CLIENT.0, CLIENT.1)
        .tokens_live(STALE_AT_ONCE)
        .user(ALICE)
        .user(BOB)
}

/// A realm of this plan; `None`, and a line that states why, where Keycloak is not there.
pub(crate) async fn realm(story: &str, plan: RealmPlan) -> anyhow::Result<Option<Realm>> {
    let realm = Realm::start(plan).await?;
    if realm.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", keycloak::IS_MISSING);
    }
    Ok(realm)
}

/// `replicas` processes on one Valkey, or one on its embedded store. All that differs by the kind of issuer follows from the
/// realm's address.
pub(crate) fn plan(replicas: usize, on_valkey: bool) -> Plan {
    Plan {
        replicas,
        valkey: on_valkey,
        store_deadline: Some(STORE_DEADLINE),
        defaults: json!({
            "margin": MARGIN, "issuer_timeout": ISSUER_TIMEOUT, "lease": LEASE,
            "caller_deadline": CALLER_DEADLINE,
        }),
        client: (CLIENT.0.to_owned(), CLIENT.1.to_owned()),
        issuer: json!({"policy": null}),
        ..Plan::of_one_process()
    }
}

impl Stage {
    /// One process on its embedded store, and the usual realm.
    pub(crate) async fn set(story: &str) -> anyhow::Result<Option<Self>> {
        Self::set_with(story, plan_of_realm(), plan(1, false)).await
    }

    pub(crate) async fn set_with(story: &str, realm: RealmPlan, plan: Plan) -> anyhow::Result<Option<Self>> {
        let Some(realm) = self::realm(story, realm).await? else {
            return Ok(None);
        };
        Self::of(realm, plan).await.map(Some)
    }

    /// The services of this plan in front of a realm that is there.
    pub(crate) async fn of(realm: Realm, plan: Plan) -> anyhow::Result<Self> {
        let deployment = Deployment::start_processes_at(plan, realm.issuer()).await?;
        Ok(Self { realm, deployment })
    }

    /// A login at Keycloak that is registered as `session`, whose tokens are stale. What comes after it lasts.
    pub(crate) async fn log_in(&self, session: &str, email: &str, scope: &str) -> anyhow::Result<Login> {
        self.tokens_live(STALE_AT_ONCE).await?;
        let login = self.realm.log_in(email, scope).await?;
        self.tokens_live(LASTING).await?;
        self.put(session, &login).await?;
        Ok(login)
    }

    /// [`Stage::log_in`] of an aggregator that registers the access token too.
    pub(crate) async fn log_in_with_access_token(
        &self,
        session: &str,
        email: &str,
        scope: &str,
    ) -> anyhow::Result<Login> {
        self.tokens_live(STALE_AT_ONCE).await?;
        let login = self.realm.log_in(email, scope).await?;
        self.tokens_live(LASTING).await?;
        let mut body = self.registration(&login);
        body["access_token"] = json!(login.tokens.access_token);
        self.put_body(session, &body).await?;
        Ok(login)
    }

    /// A login whose tokens last.
    pub(crate) async fn log_in_fresh(&self, session: &str, email: &str) -> anyhow::Result<Login> {
        self.tokens_live(LASTING).await?;
        let login = self.realm.log_in(email, Realm::ONLINE).await?;
        self.put(session, &login).await?;
        Ok(login)
    }

    /// Registers a login as `session`.
    pub(crate) async fn put(&self, session: &str, login: &Login) -> anyhow::Result<()> {
        self.put_body(session, &self.registration(login)).await
    }

    fn registration(&self, login: &Login) -> Value {
        json!({
            "issuer": self.realm.issuer(), "client_id": CLIENT.0,
            "id_token": login.tokens.id_token, "refresh_token": login.tokens.refresh_token,
        })
    }

    async fn put_body(&self, session: &str, body: &Value) -> anyhow::Result<()> {
        let put = self.deployment.put_body(session, body).await?;
        anyhow::ensure!(matches!(put.status, 200 | 201), "PUT answered {put:?}");
        Ok(())
    }

    /// Tokens that Keycloak makes from now on live so long.
    pub(crate) async fn tokens_live(&self, life: Duration) -> anyhow::Result<()> {
        let seconds = life.as_secs();
        self.realm
            .change(|realm| realm["accessTokenLifespan"] = json!(seconds))
            .await
    }

    /// A call of the filter with this login's own ID token.
    pub(crate) fn call(&self, session: &str, login: &Login) -> TokenCall {
        self.deployment.ask(&login.tokens.id_token).session(session)
    }

    /// The token that a call gets in the end.
    pub(crate) async fn served(&self, call: &TokenCall) -> anyhow::Result<String> {
        match call.send_until_settled(PATIENCE).await? {
            Ending::Served(token) => Ok(token),
            Ending::NeedsLogin(why) => anyhow::bail!("a login is needed: {why}"),
        }
    }

    /// Repeats the call until a login is needed; from then on it stays so. Returns the reason.
    pub(crate) async fn until_a_login_is_needed(&self, call: &TokenCall) -> anyhow::Result<String> {
        let why = match call.send_until_settled(PATIENCE).await? {
            Ending::NeedsLogin(why) => why,
            Ending::Served(_) => anyhow::bail!("a token was served"),
        };
        let presented = self.realm.counts().refreshes_presented;
        for _ in 0..3 {
            assert_eq!(call.send().await?.refusal(), (400, "needs_login"));
        }
        assert_eq!(self.realm.counts().refreshes_presented, presented, "asked again");
        Ok(why)
    }

    /// Waits until the state of `session` at control satisfies `predicate`.
    pub(crate) async fn wait_for_status(
        &self,
        session: &str,
        predicate: impl Fn(&Answer) -> bool,
    ) -> anyhow::Result<Answer> {
        let limit = Instant::now() + PATIENCE;
        loop {
            let status = self.deployment.status(session).await?;
            if predicate(&status) {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < limit, "still {status:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until Keycloak has exactly these sessions of a user.
    pub(crate) async fn wait_for_sessions(&self, email: &str, expected: &[&str]) -> anyhow::Result<()> {
        let limit = Instant::now() + PATIENCE;
        let expected: HashSet<_> = expected.iter().map(|session| (*session).to_owned()).collect();
        loop {
            let sessions: HashSet<_> = self.realm.sessions(email).await?.into_iter().collect();
            if sessions == expected {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < limit, "still {sessions:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What must hold in every story: no refresh token came twice, and Keycloak has detected no reuse. So many refreshes were
    /// done, and so many refused.
    pub(crate) async fn assert_refreshes(&self, done: usize, refused: usize) -> anyhow::Result<()> {
        let presented: Vec<_> = self.realm.presentations();
        let distinct: HashSet<_> = presented.iter().map(|one| &one.fingerprint).collect();
        assert_eq!(distinct.len(), presented.len(), "a refresh token came twice");
        let counts = self.realm.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.refreshes_succeeded),
            (done + refused, done)
        );
        assert_eq!(
            self.realm.refreshes().await?,
            (done, refused),
            "by Keycloak's own events"
        );
        Ok(())
    }
}

/// A claim of a token, unverified; null where it is absent.
pub(crate) fn claim(token: &str, name: &str) -> anyhow::Result<Value> {
    part(token, 1).map(|claims| claims[name].clone())
}

/// The key that signed a token.
pub(crate) fn key_of(token: &str) -> anyhow::Result<Value> {
    part(token, 0).map(|head| head["kid"].clone())
}

fn part(token: &str, at: usize) -> anyhow::Result<Value> {
    use anyhow::Context as _;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = token.split('.').nth(at).context("no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}
