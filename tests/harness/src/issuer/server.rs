//! The handle of a running fake Dex.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, json};

use super::dex::{Dex, LOCAL};
use super::front::Front;
use super::jose::http_client;
use super::keys::KeyRing;
use super::mint::TokenDraft;
use super::{
    DexConfig, Endpoint, Failure, IssuerClock, IssuerCounts, Presentation, RefreshTokenPolicy, wire,
};
use crate::parts::{LoopbackServer, LoopbackSocket};

/// A fake Dex on a free port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeDex {
    dex: Arc<Dex>,
    server: LoopbackServer,
}

/// What a login gives.
#[derive(Debug, Clone, Deserialize)]
pub struct LoginTokens {
    /// The ID token.
    pub id_token: String,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
}

impl FakeDex {
    /// Starts it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(config: DexConfig) -> anyhow::Result<Self> {
        let socket = LoopbackSocket::bind().await?;
        let issuer = format!("http://{}/dex", config.published_at.unwrap_or(socket.address()));
        let dex = tokio::task::spawn_blocking(move || Arc::new(Dex::new(issuer, config))).await?;
        let down = Arc::default();
        let router = Front {
            dex: dex.clone(),
            down: Arc::clone(&down),
        }
        .router();
        Ok(Self {
            dex,
            server: socket.serve(router, down),
        })
    }

    /// The issuer, `http://127.0.0.1:PORT/dex`.
    pub fn issuer(&self) -> &str {
        &self.dex.issuer
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }

    /// Its token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.dex.issuer)
    }

    /// Its keys.
    pub fn jwks_uri(&self) -> String {
        format!("{}/keys", self.dex.issuer)
    }

    /// Its clock, shared with the configuration it was started with.
    pub fn clock(&self) -> &IssuerClock {
        &self.dex.clock
    }

    /// Logs a configured user in over HTTP with the password grant and all scopes.
    ///
    /// # Errors
    /// When Dex refuses, or is down.
    pub async fn log_in(&self, email: &str, client_id: &str) -> anyhow::Result<LoginTokens> {
        self.log_in_with_scopes(email, client_id, "openid profile email groups offline_access")
            .await
    }

    /// [`FakeDex::log_in`] with other scopes; `offline_access` must be one of them.
    pub async fn log_in_with_scopes(
        &self,
        email: &str,
        client_id: &str,
        scope: &str,
    ) -> anyhow::Result<LoginTokens> {
        let client = self.dex.client(client_id).context("no such client")?;
        let user = self.dex.user(email).context("no such user")?;
        let form = [
            ("grant_type", "password"),
            ("client_id", client_id),
            ("client_secret", &client.secret),
            ("username", email),
            ("password", &user.password),
            ("scope", scope),
        ];
        let answer = http_client()
            .post(self.token_endpoint())
            .form(&form)
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// The subject of a configured user's tokens.
    ///
    /// # Panics
    /// When there is no such user.
    pub fn subject(&self, email: &str) -> String {
        let user = self.dex.user(email).expect("a configured user");
        wire::subject(&user.user_id, LOCAL)
    }

    /// A token to be made by hand for a configured user and any audience; it starts as a good one.
    ///
    /// # Panics
    /// When there is no such user.
    pub fn mint(&self, email: &str, audience: &str) -> TokenDraft {
        let user = self.dex.user(email).expect("a configured user");
        let now_seconds = self.dex.clock.now_seconds();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), json!(self.dex.issuer));
        claims.insert("sub".to_owned(), json!(self.subject(email)));
        claims.insert("aud".to_owned(), json!(audience));
        claims.insert("iat".to_owned(), json!(now_seconds));
        claims.insert("email".to_owned(), json!(user.email));
        claims.insert("email_verified".to_owned(), json!(true));
        claims.insert("groups".to_owned(), json!(user.groups));
        claims.insert("name".to_owned(), json!(user.username));
        let lifetime_seconds = i64::try_from(self.dex.id_token_lifetime().as_secs()).unwrap_or(i64::MAX);
        TokenDraft::new(self.dex.signing_key(), now_seconds, claims).expires_in_seconds(lifetime_seconds)
    }

    /// The next `count` requests to `endpoint` end in `failure`. Plans queue up.
    pub fn fail_next(&self, endpoint: Endpoint, count: usize, failure: &Failure) {
        self.dex.faults.fail_next(endpoint, count, failure);
    }

    /// Every request to `endpoint` ends in `failure` until [`FakeDex::heal`].
    pub fn fail_always(&self, endpoint: Endpoint, failure: Failure) {
        self.dex.faults.fail_always(endpoint, failure);
    }

    /// Forgets all plans and the latency of an endpoint.
    pub fn heal(&self, endpoint: Endpoint) {
        self.dex.faults.heal(endpoint);
    }

    /// Every request to `endpoint` waits this long before anything is done.
    pub fn set_latency(&self, endpoint: Endpoint, latency: Duration) {
        self.dex.faults.set_latency(endpoint, latency);
    }

    /// From now on requests to `endpoint` wait before anything is done, until [`FakeDex::release`].
    pub fn hold(&self, endpoint: Endpoint) {
        self.dex.faults.hold(endpoint);
    }

    /// Returns when `count` requests to a held endpoint have arrived.
    ///
    /// # Panics
    /// When they have not within 30 s: the endpoint is not held, or no client calls it.
    pub async fn wait_until_held(&self, endpoint: Endpoint, count: usize) {
        const DEADLINE: Duration = Duration::from_secs(30);
        let held = self.dex.faults.are_held(endpoint, count, DEADLINE).await;
        assert!(
            held,
            "{count} requests to {endpoint:?} were not held within {DEADLINE:?}"
        );
    }

    /// Lets held requests go on.
    pub fn release(&self, endpoint: Endpoint) {
        self.dex.faults.release(endpoint);
    }

    /// While down, connections close at once and nothing is answered. State remains.
    pub fn set_down(&self, down: bool) {
        self.server.set_down(down);
    }

    /// A new key signs from now on; the old public keys stay published.
    pub fn rotate_keys(&self) {
        self.dex.change_keys(KeyRing::rotate);
    }

    /// Only the current public key stays published.
    pub fn forget_previous_keys(&self) {
        self.dex.change_keys(KeyRing::forget_previous);
    }

    /// What a restart with memory storage does: another key, and every refresh token and code is gone.
    pub fn lose_storage(&self) {
        self.rotate_keys();
        self.forget_previous_keys();
        self.dex.grants().clear();
        self.dex.logins().clear();
    }

    /// Revokes the user's refresh token at a client; returns whether there was one.
    pub fn revoke(&self, email: &str, client_id: &str) -> bool {
        self.dex
            .user(email)
            .is_some_and(|user| self.dex.grants().revoke(&user.user_id, client_id))
    }

    /// While broken, every real refresh of the user is 500 without a description: the connector's upstream refused.
    pub fn set_upstream_broken(&self, email: &str, broken: bool) {
        self.dex.set_upstream_broken(email, broken);
    }

    /// The user's groups from the next refresh on.
    pub fn set_groups(&self, email: &str, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.dex.change_user(email, |user| user.groups = groups);
    }

    /// The lifetime of tokens issued from now on.
    pub fn set_id_token_lifetime(&self, lifetime: Duration) {
        self.dex.set_id_token_lifetime(lifetime);
    }

    /// The policy of refresh tokens from now on.
    pub fn set_refresh_tokens(&self, policy: RefreshTokenPolicy) {
        self.dex.set_policy(policy);
    }

    /// Requests so far.
    pub fn counts(&self) -> IssuerCounts {
        self.dex.counter().all
    }

    /// Requests so far of one user, by email.
    pub fn counts_of(&self, email: &str) -> IssuerCounts {
        self.dex.counter().users.get(email).copied().unwrap_or_default()
    }

    /// The latest `exp` of all tokens issued so far, Unix seconds; 0 before the first. Minted tokens do not count.
    pub fn last_expiry_seconds(&self) -> i64 {
        self.dex.last_expiry_seconds()
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
        let mut counts = self.dex.watch_counts();
        let reached = tokio::time::timeout(deadline, counts.wait_for(|counts| predicate(counts))).await;
        match reached {
            Ok(counts) => Ok(*counts.context("the issuer has gone")?),
            Err(_) => anyhow::bail!("not within {deadline:?}: {:?}", self.counts()),
        }
    }

    /// [`super::fingerprint`]s of the tokens that were given back (RFC 7009) so far, in order.
    pub fn revoked(&self) -> Vec<String> {
        self.dex.counter().revoked.clone()
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Every arrival of a refresh token so far, in order.
    pub fn presentations(&self) -> Vec<Presentation> {
        self.dex.counter().presentations.clone()
    }
}
