//! The state of a fake cloud issuer, shared by its endpoints.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::authorization::Codes;
use super::logins::{Login, Logins};
use super::product::{Product, UserState};
use super::{CloudClient, CloudClientKey, CloudConfig};
use crate::issuer::counts::Counter;
use crate::issuer::faults::Faults;
use crate::issuer::jose::{Jws, PublicKey};
use crate::issuer::keys::KeyRing;
use crate::issuer::{IssuerClock, IssuerCounts, LoginTokens, TokenDraft, wire};
use crate::secrets;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) product: &'static dyn Product,
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    pub(super) issuer: String,
    pub(super) config: CloudConfig,
    pub(super) faults: Faults,
    clients: Mutex<Vec<CloudClient>>,
    keys: Mutex<KeyRing>,
    logins: Mutex<Logins>,
    users: Mutex<HashMap<String, UserState>>,
    assertions: Mutex<HashSet<String>>,
    codes: Mutex<Codes>,
    counter: Mutex<Counter>,
    counted: watch::Sender<IssuerCounts>,
}

impl Engine {
    pub(super) fn new(base: String, config: CloudConfig) -> Self {
        let product = config.product.product();
        Self {
            product,
            issuer: product.issuer(&base),
            base,
            faults: Faults::default(),
            clients: Mutex::new(config.clients.clone()),
            keys: Mutex::new(KeyRing::new()),
            logins: Mutex::default(),
            users: Mutex::default(),
            assertions: Mutex::default(),
            codes: Mutex::default(),
            counter: Mutex::default(),
            counted: watch::Sender::default(),
            config,
        }
    }

    pub(super) fn clock(&self) -> &IssuerClock {
        &self.config.clock
    }

    pub(super) fn client(&self, id: &str) -> Option<CloudClient> {
        lock(&self.clients).iter().find(|client| client.id == id).cloned()
    }

    pub(super) fn set_secret(&self, id: &str, secret: &str) {
        for client in lock(&self.clients).iter_mut().filter(|client| client.id == id) {
            secret.clone_into(&mut client.secret);
        }
    }

    pub(super) fn set_key(&self, id: &str, key: &CloudClientKey) {
        for client in lock(&self.clients).iter_mut().filter(|client| client.id == id) {
            client.key = Some(key.clone());
        }
    }

    /// Whether no client assertion with this `jti` came before.
    pub(super) fn is_first_assertion(&self, jti: &str) -> bool {
        lock(&self.assertions).insert(jti.to_owned())
    }

    pub(super) fn logins(&self) -> MutexGuard<'_, Logins> {
        lock(&self.logins)
    }

    pub(super) fn user(&self, user: &str) -> UserState {
        lock(&self.users).get(user).copied().unwrap_or(UserState::Active)
    }

    pub(super) fn set_user(&self, user: &str, state: UserState) {
        lock(&self.users).insert(user.to_owned(), state);
    }

    pub(super) fn counter(&self) -> MutexGuard<'_, Counter> {
        lock(&self.counter)
    }

    pub(super) fn count(&self, user: Option<&str>, count: impl Fn(&mut IssuerCounts)) {
        let mut counter = self.counter();
        counter.count(user, count);
        self.counted.send_replace(counter.all);
    }

    pub(super) fn watch_counts(&self) -> watch::Receiver<IssuerCounts> {
        self.counted.subscribe()
    }

    pub(super) fn change_keys(&self, change: impl FnOnce(&mut KeyRing)) {
        change(&mut lock(&self.keys));
    }

    pub(super) fn jwks(&self) -> Value {
        let mut set = lock(&self.keys).jwks();
        if let Some(keys) = set["keys"].as_array_mut() {
            for key in keys {
                *key = self.product.key(key.take());
            }
        }
        set
    }

    /// A login of `user` at the first client.
    pub(super) fn log_in(&self, user: &str) -> LoginTokens {
        let client_id = &self.config.clients[0].id;
        let api = self.product.login_api().map(str::to_owned);
        let login = self.open_login(user, client_id, api);
        LoginTokens {
            id_token: self.id_token(&login, None),
            access_token: self.product.access_token(self, &login),
            refresh_token: login.refresh_token(),
        }
    }

    /// A login at any client, with access tokens for `api`.
    pub(super) fn open_login(&self, user: &str, client_id: &str, api: Option<String>) -> Login {
        let now_ms = self.clock().now_ms();
        let token = self.new_refresh_token();
        let mut login = Login::new(user, client_id, wire::new_id(), token, now_ms);
        login.api = api;
        self.logins().open(login.clone(), self.product.most_logins());
        self.count(Some(user), |counts| counts.logins += 1);
        login
    }

    pub(super) fn codes(&self) -> MutexGuard<'_, Codes> {
        lock(&self.codes)
    }

    pub(super) fn new_refresh_token(&self) -> String {
        let token = self.product.refresh_token(&wire::new_id());
        secrets::note(&token);
        token
    }

    pub(super) fn id_token(&self, login: &Login, nonce: Option<&str>) -> String {
        let mut claims = self.product.id_claims(self, login);
        claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        claims.insert("aud".to_owned(), json!(login.client_id));
        self.signed(claims, "JWT")
    }

    /// A JWT of this issuer with these claims, from now for the lifetime of all tokens; an empty `typ` is left out of its
    /// header.
    pub(super) fn signed(&self, mut claims: Map<String, Value>, typ: &str) -> String {
        let now_seconds = self.clock().now_seconds();
        claims
            .entry("iss".to_owned())
            .or_insert_with(|| json!(self.issuer));
        claims.insert("iat".to_owned(), json!(now_seconds));
        let draft = TokenDraft::new(lock(&self.keys).current(), now_seconds, claims)
            .expires_in_seconds(seconds(self.config.token_lifetime));
        if typ.is_empty() {
            draft.token()
        } else {
            draft.header("typ", typ).token()
        }
    }

    /// A JWT that this issuer signed and that has not expired.
    pub(super) fn verified(&self, token: &str) -> Result<Jws, NotVerified> {
        let jws = Jws::read(token).ok_or(NotVerified::Foreign)?;
        let keys = PublicKey::read_set(&lock(&self.keys).jwks());
        if jws.text("iss") != Some(&self.issuer) || !jws.is_signed_by(&keys) {
            return Err(NotVerified::Foreign);
        }
        let is_over = jws
            .exp_seconds()
            .is_none_or(|exp| exp <= self.clock().now_seconds());
        if is_over {
            return Err(NotVerified::Expired);
        }
        Ok(jws)
    }
}

/// Why a subject token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotVerified {
    /// No token of this issuer.
    Foreign,
    /// It has expired.
    Expired,
}

pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
