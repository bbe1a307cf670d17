//! What a realm consists of, as Keycloak's own representation of it.

use std::time::Duration;

use serde_json::{Value, json};

/// The password of every user, which the harness's browser types too.
pub(super) const PASSWORD: &str = "password";

/// A realm. The default of [`RealmPlan::strict`] is what docs/issuers.md recommends.
#[derive(Debug, Clone)]
pub struct RealmPlan {
    /// Tokens live this long.
    pub tokens_live: Duration,
    /// Revoke Refresh Token, with a reuse of 0: a refresh token that is presented twice ends its login.
    pub detects_reuse: bool,
    /// The life of a login that is not used.
    pub idle: Duration,
    /// Clients; logins are of the first one.
    pub clients: Vec<RealmClient>,
    /// Emails of users.
    pub users: Vec<String>,
}

/// A confidential client.
#[derive(Debug, Clone)]
pub struct RealmClient {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Members of the representation besides `clientId`, `secret` and the grants, or in their place.
    representation: Value,
    redirect_uris: Vec<String>,
    mappers: Vec<Value>,
}

impl RealmPlan {
    /// With reuse detection and one client.
    pub fn strict(client_id: &str, client_secret: &str) -> Self {
        Self {
            tokens_live: Duration::from_secs(300),
            detects_reuse: true,
            idle: Duration::from_secs(1800),
            clients: vec![RealmClient::new(client_id, client_secret)],
            users: Vec::new(),
        }
    }

    /// With this life of tokens.
    #[must_use]
    pub fn tokens_live(self, tokens_live: Duration) -> Self {
        Self { tokens_live, ..self }
    }

    /// With this life of a login that is not used.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// With one more user.
    #[must_use]
    pub fn user(mut self, email: &str) -> Self {
        self.users.push(email.to_owned());
        self
    }

    /// With one more client.
    #[must_use]
    pub fn client(mut self, client: RealmClient) -> Self {
        self.clients.push(client);
        self
    }

    /// With another first client.
    #[must_use]
    pub fn first_client(mut self, change: impl FnOnce(RealmClient) -> RealmClient) -> Self {
        let first = self.clients.remove(0);
        self.clients.insert(0, change(first));
        self
    }

    /// The representation of the realm `name` whose issuer is below `front`.
    pub(super) fn representation(&self, name: &str, front: &str) -> Value {
        let users = self.users.iter().map(|email| {
            json!({
                "username": email, "email": email, "emailVerified": true, "enabled": true,
                "firstName": "A", "lastName": "User",
                // With a user's usual rights, offline logins among them.
                "realmRoles": [format!("default-roles-{name}")],
                "credentials": [{"type": "password", "value": PASSWORD, "temporary": false}],
            })
        });
        let clients = self.clients.iter().map(RealmClient::representation);
        json!({
            "realm": name,
            "enabled": true,
            "sslRequired": "none",
            "attributes": {"frontendUrl": front},
            "accessTokenLifespan": self.tokens_live.as_secs(),
            "revokeRefreshToken": self.detects_reuse,
            "refreshTokenMaxReuse": 0,
            "ssoSessionIdleTimeout": self.idle.as_secs(),
            "ssoSessionMaxLifespan": 36_000,
            // Those that stories count, of which Keycloak itself stores only some.
            "eventsEnabled": true,
            "enabledEventTypes": [
                "LOGIN", "REFRESH_TOKEN", "REFRESH_TOKEN_ERROR", "TOKEN_EXCHANGE", "TOKEN_EXCHANGE_ERROR",
                "INTROSPECT_TOKEN", "REVOKE_GRANT", "LOGOUT", "JWT_AUTHORIZATION_GRANT",
            ],
            "clients": clients.collect::<Vec<_>>(),
            "users": users.collect::<Vec<_>>(),
        })
    }
}

impl RealmClient {
    /// With the code flow and the password grant.
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            representation: json!({"attributes": {}}),
            redirect_uris: Vec::new(),
            mappers: Vec::new(),
        }
    }

    /// With one more redirect URI.
    #[must_use]
    pub fn redirect_uri(mut self, uri: &str) -> Self {
        self.redirect_uris.push(uri.to_owned());
        self
    }

    /// With this attribute, in Keycloak's words.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.representation["attributes"][name] = json!(value);
        self
    }

    /// With "Standard token exchange" on.
    #[must_use]
    pub fn exchanges(self) -> Self {
        self.attribute("standard.token.exchange.enabled", "true")
    }

    /// With an audience mapper, for access tokens and ID tokens: a client's id.
    #[must_use]
    pub fn audience_client(self, audience: &str) -> Self {
        self.audience("included.client.audience", audience)
    }

    /// With an audience mapper, for access tokens and ID tokens: any value.
    #[must_use]
    pub fn audience_of_its_own(self, audience: &str) -> Self {
        self.audience("included.custom.audience", audience)
    }

    /// Without the roles of other clients in its tokens, which add those clients to `aud`.
    #[must_use]
    pub fn without_full_scope(mut self) -> Self {
        self.representation["fullScopeAllowed"] = json!(false);
        self
    }

    fn audience(mut self, kind: &str, audience: &str) -> Self {
        self.mappers.push(json!({
            "name": format!("audience {}", self.mappers.len()),
            "protocol": "openid-connect",
            "protocolMapper": "oidc-audience-mapper",
            "config": {
                kind: audience, "id.token.claim": "true", "access.token.claim": "true",
                "introspection.token.claim": "true",
            },
        }));
        self
    }

    pub(super) fn representation(&self) -> Value {
        let mut client = json!({
            "clientId": self.id, "secret": self.secret, "enabled": true, "protocol": "openid-connect",
            "publicClient": false, "standardFlowEnabled": true, "directAccessGrantsEnabled": true,
            "redirectUris": self.redirect_uris, "protocolMappers": self.mappers,
        });
        for (name, value) in self.representation.as_object().into_iter().flatten() {
            client[name.as_str()] = value.clone();
        }
        client
    }
}
