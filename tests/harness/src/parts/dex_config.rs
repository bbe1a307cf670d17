//! The configuration file of a real Dex, from the same [`DexConfig`] that the fake one takes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use crate::issuer::{DexClient, DexConfig, DexConnector, DexUser};

/// bcrypt (cost 10, the least that Dex takes) of `password`, the password of every user of the tests.
const PASSWORD: &str = "password";
const HASH_OF_PASSWORD: &str = "$2a$10$OaEdbQ6azoDjC9vSkygRo.u/ruFiVFryperaKQMny.vrrp7c335oW";

/// The grants of a Dex that logs users in without a browser, refreshes and exchanges.
const GRANT_TYPES: [&str; 4] = [
    "authorization_code",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:token-exchange",
];

const CROWD: &str = "crowd";

/// The configuration of a Dex that listens on `listen` and calls itself `issuer`. JSON is YAML.
///
/// # Errors
/// When the hash of a user's password is not known here.
pub(super) fn document(config: &DexConfig, issuer: &str, listen: SocketAddr) -> anyhow::Result<Value> {
    let users: Vec<Value> = config.users.iter().map(user).collect::<Result<_, _>>()?;
    let policy = config.refresh_tokens;
    let connectors = config.connectors.iter().map(|each| connector(each, issuer));
    let password_connector = if config.crowd.is_some() { CROWD } else { "local" };
    Ok(json!({
        "issuer": issuer,
        "storage": {"type": "memory"},
        "web": {"http": listen.to_string()},
        "expiry": {
            "idTokens": go_duration(config.id_token_lifetime),
            "signingKeys": go_duration(config.signing_keys),
            "refreshTokens": {
                "disableRotation": !policy.rotation,
                "reuseInterval": go_duration(policy.reuse_interval),
                "validIfNotUsedFor": go_duration(policy.valid_if_not_used_for),
                "absoluteLifetime": go_duration(policy.absolute_lifetime),
            },
        },
        // With this connector a user logs in without a browser, by the password grant.
        "oauth2": {"passwordConnector": password_connector, "skipApprovalScreen": true, "grantTypes": GRANT_TYPES},
        "enablePasswordDB": true,
        "staticPasswords": users,
        "staticClients": config.clients.iter().map(client).collect::<Vec<_>>(),
        "connectors": connectors.chain(config.crowd.as_deref().map(crowd)).collect::<Vec<_>>(),
    }))
}

fn user(user: &DexUser) -> anyhow::Result<Value> {
    ensure!(
        user.password == PASSWORD,
        "{}: a real Dex of the tests knows the hash of one password only",
        user.email
    );
    Ok(json!({
        "email": user.email, "username": user.username, "userID": user.user_id, "groups": user.groups,
        "hash": HASH_OF_PASSWORD,
    }))
}

fn client(client: &DexClient) -> Value {
    json!({
        "id": client.id, "name": client.id, "secret": client.secret, "trustedPeers": client.trusted_peers,
        "redirectURIs": client.redirect_uris,
    })
}

/// Dex wants a client and a redirect even of a connector that only takes tokens at the exchange, and uses neither there.
fn connector(connector: &DexConnector, issuer: &str) -> Value {
    json!({
        "type": "oidc", "id": connector.id, "name": connector.id,
        "config": {
            "issuer": connector.issuer, "getUserInfo": connector.get_user_info,
            "clientID": "muster", "clientSecret": "s3cret", "redirectURI": format!("{issuer}/callback"),
            "scopes": ["profile", "email", "groups", "offline_access"], "insecureEnableGroups": true,
        },
    })
}

fn crowd(base_url: &str) -> Value {
    json!({
        "type": "atlassian-crowd", "id": CROWD, "name": CROWD,
        "config": {"baseURL": base_url, "clientID": "dex", "clientSecret": "secret"},
    })
}

/// A duration as Go's `time.ParseDuration` reads it.
fn go_duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
