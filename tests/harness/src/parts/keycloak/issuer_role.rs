//! A realm as a home of worlds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::plan::{RealmClient, RealmPlan};
use super::realm::Realm;
use crate::issuer::{DexConfig, Issuer, IssuerClock, IssuerCounts, LoginTokens, Presentation};

/// Of the configuration clients, users and the life of ID tokens count, and the connectors, each of which is another realm: its
/// users are users here too, and each client may exchange their tokens. Refresh tokens rotate, and one that is presented twice
/// ends its login. It runs in real time.
impl Issuer for Realm {
    const KIND: &'static str = "Keycloak";

    async fn start(config: DexConfig) -> anyhow::Result<Self> {
        ensure!(config.published_at.is_none(), "a realm has its proxy's address");
        let clients = config.clients.iter().map(|client| {
            let uris = client.redirect_uris.iter();
            let new = RealmClient::new(&client.id, &client.secret).exchanges();
            uris.fold(new, |client, uri| client.redirect_uri(uri))
        });
        let mut homes = Vec::new();
        for connector in &config.connectors {
            homes.push((connector.id.as_str(), Self::of_issuer(&connector.issuer).await?));
        }
        let users = match homes.is_empty() {
            true => config.users.iter().map(|user| user.email.clone()).collect(),
            false => homes.iter().flat_map(|(_, home)| home.emails.clone()).collect(),
        };
        let plan = RealmPlan {
            clients: clients.collect(),
            users,
            ..RealmPlan::strict("", "").tokens_live(config.id_token_lifetime)
        };
        let mut realm = Self::start(plan).await?.context(super::IS_MISSING)?;
        for (alias, home) in &homes {
            realm.trust(home, alias).await?;
        }
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

    /// An ID token of this realm, by an access token of the other.
    fn exchange_members(&self, connector: &str) -> Value {
        json!({
            "tokenEndpoint": self.token_endpoint(), "dexTokenEndpoint": null, "connectorId": null, "scopes": null,
            "requestedTokenType": "urn:ietf:params:oauth:token-type:id_token",
            "parameters": {"subject_issuer": connector},
        })
    }

    fn jwks_uri(&self) -> String {
        format!("{}/protocol/openid-connect/certs", self.issuer())
    }
}
