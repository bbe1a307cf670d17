//! A realm that takes tokens of another realm.

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};

use super::realm::Realm;
use super::server::KeycloakServer;

/// A realm as others see it.
#[derive(Debug, Clone)]
pub struct HomeRealm {
    issuer: String,
    /// Its first client, which may introspect.
    client: (String, String),
    /// Emails of its users.
    pub(super) emails: Vec<String>,
    /// Their ids, in the same order.
    ids: Vec<String>,
}

impl Realm {
    /// This realm, for others to trust.
    ///
    /// # Errors
    /// When Keycloak does not answer.
    pub async fn as_home(&self) -> anyhow::Result<HomeRealm> {
        let client = self.first_client()?;
        let client = (client.id.clone(), client.secret.clone());
        HomeRealm::read(self.server, self.issuer(), &self.name, client).await
    }

    /// The realm with this issuer, by the client of worlds.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn of_issuer(issuer: &str) -> anyhow::Result<HomeRealm> {
        let (_, name) = issuer.split_once("/realms/").context("no issuer of Keycloak")?;
        let server = KeycloakServer::shared().await?.context(super::IS_MISSING)?;
        let (id, secret) = crate::world::CLIENT;
        HomeRealm::read(server, issuer, name, (id.to_owned(), secret.to_owned())).await
    }

    /// Makes `home` an identity provider of this realm: its tokens may be exchanged here, by clients that allow it, for tokens of
    /// the users with the same email.
    ///
    /// # Errors
    /// When Keycloak does not answer, or has no such user here.
    pub async fn trust(&self, home: &HomeRealm, alias: &str) -> anyhow::Result<()> {
        let endpoint = |path: &str| format!("{}/protocol/openid-connect/{path}", home.issuer);
        let (client_id, client_secret) = &home.client;
        let provider = json!({
            "alias": alias, "providerId": "oidc", "enabled": true,
            "config": {
                "issuer": home.issuer, "clientId": client_id, "clientSecret": client_secret,
                "clientAuthMethod": "client_secret_basic", "authorizationUrl": endpoint("auth"),
                "tokenUrl": endpoint("token"), "userInfoUrl": endpoint("userinfo"),
                "tokenIntrospectionUrl": endpoint("token/introspect"),
                "jwksUrl": endpoint("certs"), "useJwksUrl": "true", "validateSignature": "true",
                "jwtAuthorizationGrantEnabled": "true", "jwtAuthorizationGrantAssertionReuseAllowed": "true",
            },
        });
        let path = format!("/{}/identity-provider/instances", self.name);
        self.server.admin(Method::POST, &path, Some(&provider)).await?;
        for (email, id) in home.emails.iter().zip(&home.ids) {
            let user = self.user_id(email).await?;
            let path = format!("/{}/users/{user}/federated-identity/{alias}", self.name);
            let identity = json!({"identityProvider": alias, "userId": id, "userName": email});
            self.server.admin(Method::POST, &path, Some(&identity)).await?;
        }
        Ok(())
    }
}

impl HomeRealm {
    async fn read(
        server: &KeycloakServer,
        issuer: &str,
        name: &str,
        client: (String, String),
    ) -> anyhow::Result<Self> {
        let (users, _) = server
            .admin(Method::GET, &format!("/{name}/users?max=1000"), None)
            .await?;
        let users: Vec<Value> = users.as_array().cloned().unwrap_or_default();
        let all = |member: &str| {
            let texts = users.iter().filter_map(|user| user[member].as_str());
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        Ok(Self {
            issuer: issuer.to_owned(),
            client,
            emails: all("email"),
            ids: all("id"),
        })
    }
}
