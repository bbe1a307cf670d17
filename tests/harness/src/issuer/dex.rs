//! The state of a fake Dex, shared by its endpoints.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::counts::{Counter, IssuerCounts};
use super::exchange::ConnectorState;
use super::faults::Faults;
use super::grants::{GrantStore, Identity};
use super::keys::{KeyRing, SigningKey};
use super::login::Logins;
use super::{DexClient, DexConfig, DexConnector, DexUser, IssuerClock, RefreshTokenPolicy};

/// The password connector.
pub(crate) const LOCAL: &str = "local";

#[derive(Debug)]
pub(crate) struct Dex {
    pub(crate) issuer: String,
    pub(crate) clock: IssuerClock,
    pub(crate) faults: Faults,
    pub(crate) discovery: Vec<(&'static str, Value)>,
    pub(crate) opaque_access_tokens: bool,
    pub(crate) has_revocation: bool,
    pub(crate) post_only: bool,
    clients: Vec<DexClient>,
    connectors: Vec<ConnectorState>,
    id_token_lifetime: Mutex<Duration>,
    policy: Mutex<RefreshTokenPolicy>,
    users: Mutex<Vec<DexUser>>,
    keys: Mutex<KeyRing>,
    grants: Mutex<GrantStore>,
    logins: Mutex<Logins>,
    counter: Mutex<Counter>,
    counted: watch::Sender<IssuerCounts>,
    broken_upstreams: Mutex<Vec<String>>,
    last_expiry_seconds: AtomicI64,
}

impl Dex {
    pub(crate) fn new(issuer: String, config: DexConfig) -> Self {
        Self {
            issuer,
            clock: config.clock,
            faults: Faults::default(),
            discovery: config.discovery,
            opaque_access_tokens: config.opaque_access_tokens,
            has_revocation: config.has_revocation,
            post_only: config.post_only,
            clients: config.clients,
            connectors: config.connectors.into_iter().map(ConnectorState::new).collect(),
            id_token_lifetime: Mutex::new(config.id_token_lifetime),
            policy: Mutex::new(config.refresh_tokens),
            users: Mutex::new(config.users),
            keys: Mutex::new(KeyRing::new()),
            grants: Mutex::new(GrantStore::new(config.keeps_each_login)),
            logins: Mutex::default(),
            counter: Mutex::default(),
            counted: watch::Sender::default(),
            broken_upstreams: Mutex::default(),
            last_expiry_seconds: AtomicI64::default(),
        }
    }

    /// A token was issued.
    pub(crate) fn note_expiry(&self, exp_seconds: i64) {
        self.last_expiry_seconds.fetch_max(exp_seconds, Ordering::SeqCst);
    }

    pub(crate) fn last_expiry_seconds(&self) -> i64 {
        self.last_expiry_seconds.load(Ordering::SeqCst)
    }

    pub(crate) fn id_token_lifetime(&self) -> Duration {
        *lock(&self.id_token_lifetime)
    }

    pub(crate) fn set_id_token_lifetime(&self, lifetime: Duration) {
        *lock(&self.id_token_lifetime) = lifetime;
    }

    pub(crate) fn policy(&self) -> RefreshTokenPolicy {
        *lock(&self.policy)
    }

    pub(crate) fn set_policy(&self, policy: RefreshTokenPolicy) {
        *lock(&self.policy) = policy;
    }

    /// The grants. Held over a whole refresh, as Dex's memory storage holds its one lock.
    pub(crate) fn grants(&self) -> MutexGuard<'_, GrantStore> {
        lock(&self.grants)
    }

    /// Logins in browsers that are under way.
    pub(crate) fn logins(&self) -> MutexGuard<'_, Logins> {
        lock(&self.logins)
    }

    pub(crate) fn users(&self) -> Vec<DexUser> {
        lock(&self.users).clone()
    }

    pub(crate) fn client(&self, id: &str) -> Option<&DexClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Whether `client_id` may have `peer` among the audiences of its tokens.
    pub(crate) fn is_trusted(&self, client_id: &str, peer: &str) -> bool {
        client_id == peer
            || self
                .client(peer)
                .is_some_and(|peer| peer.trusted_peers.iter().any(|trusted| trusted == client_id))
    }

    pub(crate) fn connector(&self, id: &str) -> Option<&ConnectorState> {
        self.connectors.iter().find(|connector| connector.config.id == id)
    }

    pub(crate) fn user(&self, email: &str) -> Option<DexUser> {
        lock(&self.users).iter().find(|user| user.email == email).cloned()
    }

    /// The name of a user by id, for counting.
    pub(crate) fn email_of(&self, user_id: &str) -> Option<String> {
        lock(&self.users)
            .iter()
            .find(|user| user.user_id == user_id)
            .map(|user| user.email.clone())
    }

    pub(crate) fn change_user(&self, email: &str, change: impl FnOnce(&mut DexUser)) {
        if let Some(user) = lock(&self.users).iter_mut().find(|user| user.email == email) {
            change(user);
        }
    }

    /// What the password connector returns for a user at a refresh: the current groups and names, or nothing when the
    /// user's upstream is broken or the user is gone.
    pub(crate) fn refreshed_identity(&self, user_id: &str) -> Option<Identity> {
        let user = lock(&self.users)
            .iter()
            .find(|user| user.user_id == user_id)
            .cloned()?;
        let broken = lock(&self.broken_upstreams).contains(&user.email);
        (!broken).then(|| identity(&user))
    }

    pub(crate) fn set_upstream_broken(&self, email: &str, broken: bool) {
        let mut upstreams = lock(&self.broken_upstreams);
        upstreams.retain(|other| other != email);
        if broken {
            upstreams.push(email.to_owned());
        }
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        lock(&self.keys).current()
    }

    pub(crate) fn jwks(&self) -> Value {
        lock(&self.keys).jwks()
    }

    pub(crate) fn change_keys(&self, change: impl FnOnce(&mut KeyRing)) {
        change(&mut lock(&self.keys));
    }

    pub(crate) fn counter(&self) -> MutexGuard<'_, Counter> {
        lock(&self.counter)
    }

    pub(crate) fn count(&self, user: Option<&str>, count: impl Fn(&mut IssuerCounts)) {
        let mut counter = self.counter();
        counter.count(user, count);
        self.counted.send_replace(counter.all);
    }

    /// The total numbers, to await a change of them.
    pub(crate) fn watch_counts(&self) -> watch::Receiver<IssuerCounts> {
        self.counted.subscribe()
    }
}

impl ConnectorState {
    fn new(config: DexConnector) -> Self {
        Self {
            config,
            upstream: tokio::sync::OnceCell::new(),
        }
    }
}

/// What the password connector returns for a user.
pub(crate) fn identity(user: &DexUser) -> Identity {
    Identity {
        user_id: user.user_id.clone(),
        username: user.username.clone(),
        email: user.email.clone(),
        email_verified: true,
        groups: user.groups.clone(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
