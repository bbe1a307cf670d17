//! What a world needs of an issuer, whether it is the fake Dex or a real one.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::{DexConfig, FakeDex, IssuerClock, IssuerCounts, LoginTokens, Presentation};

/// A running Dex, fake or real. What only the fake can do (move its clock, fail on demand, mint tokens) is not here.
pub trait Issuer: Debug + Send + Sync + Sized {
    /// What it is, for messages.
    const KIND: &'static str;

    /// Starts it.
    ///
    /// # Errors
    /// When it is not on this machine, cannot be configured so, or does not start.
    fn start(config: DexConfig) -> impl Future<Output = anyhow::Result<Self>> + Send;

    /// The issuer, `http://127.0.0.1:PORT/dex`.
    fn issuer(&self) -> &str;

    /// Where it listens itself, counting: its name has another address when it is published by a gateway.
    fn address(&self) -> SocketAddr;

    /// The time in which its tokens expire.
    fn clock(&self) -> &IssuerClock;

    /// Logs a configured user in over HTTP with the password grant and all scopes.
    ///
    /// # Errors
    /// When Dex refuses, or is down.
    fn log_in(
        &self,
        email: &str,
        client_id: &str,
    ) -> impl Future<Output = anyhow::Result<LoginTokens>> + Send;

    /// Ends the user's login at a client: its refresh token is dead from now on, and no party is notified.
    ///
    /// # Errors
    /// When there was no such login, or Dex is down.
    fn end_login(&self, email: &str, client_id: &str) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// While down, connections close at once and nothing is answered. State remains.
    fn set_down(&self, down: bool);

    /// Requests so far.
    fn counts(&self) -> IssuerCounts;

    /// Requests so far of one user, by email.
    fn counts_of(&self, email: &str) -> IssuerCounts;

    /// Every arrival of a refresh token so far, in order.
    fn presentations(&self) -> Vec<Presentation>;

    /// The latest `exp` of all tokens that it has issued so far, Unix seconds; 0 before the first.
    fn last_expiry_seconds(&self) -> i64;

    /// Returns when the total numbers satisfy `predicate`.
    ///
    /// # Errors
    /// When they do not within `deadline`.
    fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool + Send + Sync,
        deadline: Duration,
    ) -> impl Future<Output = anyhow::Result<IssuerCounts>> + Send;

    /// Its token endpoint.
    fn token_endpoint(&self) -> String {
        format!("{}/token", self.issuer())
    }

    /// Members of control's `tokenExchange` for an exchange here through `connector`, besides Dex's or, where they are `null`, in
    /// place of them.
    fn exchange_members(&self, _connector: &str) -> Value {
        Value::Null
    }

    /// Its keys.
    fn jwks_uri(&self) -> String {
        format!("{}/keys", self.issuer())
    }
}

impl Issuer for FakeDex {
    const KIND: &'static str = "fake Dex";

    async fn start(config: DexConfig) -> anyhow::Result<Self> {
        Self::start(config).await
    }

    fn issuer(&self) -> &str {
        self.issuer()
    }

    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn clock(&self) -> &IssuerClock {
        self.clock()
    }

    async fn log_in(&self, email: &str, client_id: &str) -> anyhow::Result<LoginTokens> {
        self.log_in(email, client_id).await
    }

    async fn end_login(&self, email: &str, client_id: &str) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.revoke(email, client_id),
            "{email} has no login at {client_id}"
        );
        Ok(())
    }

    fn set_down(&self, down: bool) {
        self.set_down(down);
    }

    fn counts(&self) -> IssuerCounts {
        self.counts()
    }

    fn counts_of(&self, email: &str) -> IssuerCounts {
        self.counts_of(email)
    }

    fn presentations(&self) -> Vec<Presentation> {
        self.presentations()
    }

    fn last_expiry_seconds(&self) -> i64 {
        self.last_expiry_seconds()
    }

    async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool + Send + Sync,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        self.wait_for_counts(predicate, deadline).await
    }
}
