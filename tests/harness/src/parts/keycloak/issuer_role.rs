//! A realm as a home of worlds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::plan::{RealmClient, RealmPlan};
use super::realm::Realm;
use crate::issuer::{DexConfig, Issuer, IssuerClock, IssuerCounts, LoginTokens, Presentation};

/// Of the configuration clients, users and the life of ID tokens count. Refresh tokens rotate, and one that is presented
/// twice ends its login. It runs in real time.
impl Issuer for Realm {
    const KIND: &'static str = "Keycloak";

    async fn start(config: DexConfig) -> anyhow::Result<Self> {
        ensure!(config.published_at.is_none(), "a realm has its proxy's address");
        let clients = config.clients.iter().map(|client| {
            let uris = client.redirect_uris.iter();
            uris.fold(RealmClient::new(&client.id, &client.secret), |client, uri| {
                client.redirect_uri(uri)
            })
        });
        let plan = RealmPlan {
            clients: clients.collect(),
            users: config.users.iter().map(|user| user.email.clone()).collect(),
            ..RealmPlan::strict("", "").tokens_live(config.id_token_lifetime)
        };
        let mut realm = Self::start(plan).await?.context(super::IS_MISSING)?;
        realm.clock = config.clock;
        Ok(realm)
    }

    fn issuer(&self) -> &str {
        self.issuer()
    }

    fn address(&self) -> SocketAddr {
        self.proxy_address()
    }

    fn clock(&self) -> &IssuerClock {
        &self.clock
    }

    async fn log_in(&self, email: &str, client_id: &str) -> anyhow::Result<LoginTokens> {
        ensure!(
            self.first_client()?.id == client_id,
            "logins are of the first client"
        );
        Ok(self.log_in(email, Self::ONLINE).await?.tokens)
    }

    async fn end_login(&self, email: &str, client_id: &str) -> anyhow::Result<()> {
        let is_offline = self.offline_sessions(email).await? > 0;
        let is_online = !self.sessions(email).await?.is_empty();
        ensure!(is_offline || is_online, "{email} has no login");
        if is_offline {
            self.revoke_offline_access(email, client_id).await?;
        }
        self.log_out(email).await
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
        self.proxy.last_expiry_seconds()
    }

    async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool + Send + Sync,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        self.wait_for_counts(predicate, deadline).await
    }

    fn token_endpoint(&self) -> String {
        self.token_endpoint()
    }

    fn jwks_uri(&self) -> String {
        format!("{}/protocol/openid-connect/certs", self.issuer())
    }
}
