//! The handle of a running fake cloud issuer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::engine::Engine;
use super::front::Front;
use super::{CloudClientKey, CloudConfig, CloudProduct, UserState};
use crate::issuer::jose::Jws;
use crate::issuer::keys::KeyRing;
use crate::issuer::{Endpoint, Failure, IssuerClock, IssuerCounts, LoginTokens, Presentation, wire};
use crate::parts::{LoopbackServer, LoopbackSocket};
use crate::secrets;

/// A fake cloud issuer on a free port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct CloudIssuer {
    engine: Arc<Engine>,
    server: LoopbackServer,
}

impl CloudIssuer {
    /// Starts it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(config: CloudConfig) -> anyhow::Result<Self> {
        for client in &config.clients {
            secrets::note(&client.secret);
        }
        let socket = LoopbackSocket::bind().await?;
        let base = format!("http://{}", socket.address());
        let engine = tokio::task::spawn_blocking(move || Arc::new(Engine::new(base, config))).await?;
        let down = Arc::default();
        let front = Front {
            engine: Arc::clone(&engine),
            down: Arc::clone(&down),
        };
        Ok(Self {
            engine,
            server: socket.serve(front.router(), down),
        })
    }

    /// Which product it is.
    pub fn product(&self) -> CloudProduct {
        self.engine.config.product
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.engine.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}{}", self.engine.base, self.engine.product.token_path())
    }

    /// Its keys.
    pub fn jwks_uri(&self) -> String {
        format!("{}{}", self.engine.base, self.engine.product.keys_path())
    }

    /// Its clock, shared with the configuration it was started with.
    pub fn clock(&self) -> &IssuerClock {
        self.engine.clock()
    }

    /// A login of `user` (an email address) at the first client. Every one has a refresh token of its own.
    pub fn log_in(&self, user: &str) -> LoginTokens {
        self.engine.log_in(user)
    }

    /// `sub` of the user's ID tokens at the first client.
    pub fn subject(&self, user: &str) -> String {
        let client_id = &self.engine.config.clients[0].id;
        self.engine.product.subject(user, client_id)
    }

    /// An administrator's revocation of a user's sessions: all refresh tokens of the user are dead from now on, and
    /// no client is notified. Returns how many logins were alive.
    pub fn end_logins(&self, user: &str) -> usize {
        self.engine.logins().end(|login| login.user == user)
    }

    /// The same for one login, by any of its refresh tokens; returns whether it was alive.
    pub fn end_login(&self, refresh_token: &str) -> bool {
        let mut logins = self.engine.logins();
        let session = logins.of_token(refresh_token).map(|login| login.session.clone());
        session.is_some_and(|session| logins.end(|login| login.session == session) == 1)
    }

    /// The logout token (OpenID Connect Back-Channel Logout 1.0 §2.4) that the issuer posts when the session of this ID token
    /// ends there, as Auth0 documents it.
    ///
    /// # Errors
    /// When it is no ID token of the issuer, or has no `sid`.
    pub fn logout_token(&self, id_token: &str) -> anyhow::Result<String> {
        const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
        let token = Jws::read(id_token).context("no JWT")?;
        anyhow::ensure!(token.claims.contains_key("sid"), "the ID token has no sid");
        let mut claims: Map<String, Value> = ["iss", "sub", "aud", "sid"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), token.claims.get(name)?.clone())))
            .collect();
        claims.insert("jti".to_owned(), json!(wire::new_id()));
        claims.insert("events".to_owned(), json!({ EVENT: {} }));
        Ok(self.engine.signed(claims, "logout+jwt"))
    }

    /// `aud` of a token that was exchanged for the issuer's one other API.
    pub fn api_audience(&self) -> &'static str {
        self.engine.product.api_audience()
    }

    /// The user's state from now on.
    pub fn set_user(&self, user: &str, state: UserState) {
        self.engine.set_user(user, state);
    }

    /// Logins whose refresh tokens are alive.
    pub fn logins_alive(&self) -> usize {
        self.engine.logins().alive()
    }

    /// Another secret of a client.
    pub fn set_secret(&self, client_id: &str, secret: &str) {
        secrets::note(secret);
        self.engine.set_secret(client_id, secret);
    }

    /// Another key of a client, in place of the one before.
    pub fn set_client_key(&self, client_id: &str, key: &CloudClientKey) {
        self.engine.set_key(client_id, key);
    }

    /// A new key signs from now on; the old public keys stay published.
    pub fn rotate_keys(&self) {
        self.engine.change_keys(KeyRing::rotate);
    }

    /// Only the current public key stays published.
    pub fn forget_previous_keys(&self) {
        self.engine.change_keys(KeyRing::forget_previous);
    }

    /// The next `count` requests to `endpoint` end in `failure`. Plans queue up.
    ///
    /// # Panics
    /// For a failure that only the fake Dex has.
    pub fn fail_next(&self, endpoint: Endpoint, count: usize, failure: &Failure) {
        let is_known = matches!(
            failure,
            Failure::Answer { .. } | Failure::Hang | Failure::CloseBeforeAnswer | Failure::CloseAfterCommit
        );
        assert!(is_known, "{failure:?} is of the fake Dex alone");
        self.engine.faults.fail_next(endpoint, count, failure);
    }

    /// Forgets all plans of an endpoint.
    pub fn heal(&self, endpoint: Endpoint) {
        self.engine.faults.heal(endpoint);
    }

    /// From now on requests to `endpoint` wait before anything is done, until [`CloudIssuer::release`].
    pub fn hold(&self, endpoint: Endpoint) {
        self.engine.faults.hold(endpoint);
    }

    /// Returns when `count` requests to a held endpoint have arrived.
    ///
    /// # Errors
    /// When they have not within 30 s: the endpoint is not held, or no client calls it.
    pub async fn wait_until_held(&self, endpoint: Endpoint, count: usize) -> anyhow::Result<()> {
        const DEADLINE: Duration = Duration::from_secs(30);
        let held = self.engine.faults.are_held(endpoint, count, DEADLINE).await;
        anyhow::ensure!(
            held,
            "{count} requests to {endpoint:?} were not held within {DEADLINE:?}"
        );
        Ok(())
    }

    /// Lets held requests go on.
    pub fn release(&self, endpoint: Endpoint) {
        self.engine.faults.release(endpoint);
    }

    /// While down, connections close at once and nothing is answered. State remains.
    pub fn set_down(&self, down: bool) {
        self.server.set_down(down);
    }

    /// Requests so far.
    pub fn counts(&self) -> IssuerCounts {
        self.engine.counter().all
    }

    /// Requests so far of one user.
    pub fn counts_of(&self, user: &str) -> IssuerCounts {
        self.engine.counter().users.get(user).copied().unwrap_or_default()
    }

    /// Returns when the total numbers satisfy `predicate`.
    ///
    /// # Errors
    /// When they do not within `deadline`.
    pub async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        let mut counts = self.engine.watch_counts();
        let reached = tokio::time::timeout(deadline, counts.wait_for(|counts| predicate(counts))).await;
        match reached {
            Ok(counts) => Ok(*counts.context("the issuer has gone")?),
            Err(_) => anyhow::bail!("not within {deadline:?}: {:?}", self.counts()),
        }
    }

    /// [`crate::issuer::fingerprint`]s of the tokens that came to the revocation endpoint so far, in order.
    pub fn revoked(&self) -> Vec<String> {
        self.engine.counter().revoked.clone()
    }

    /// Every arrival of a refresh token so far, in order.
    pub fn presentations(&self) -> Vec<Presentation> {
        self.engine.counter().presentations.clone()
    }

    /// How often a refresh token arrived that had arrived before.
    pub fn presented_again(&self) -> usize {
        let mut arrivals: HashMap<String, usize> = HashMap::new();
        for presentation in &self.engine.counter().presentations {
            *arrivals.entry(presentation.fingerprint.clone()).or_default() += 1;
        }
        arrivals.values().map(|times| times - 1).sum()
    }
}
