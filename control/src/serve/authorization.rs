//! The log line about the authorization server.

use crate::authorization::access_token::SigningKeys;
use crate::config::{AuthorizationConfig, Config};

/// Logs the issuer and the keys of the authorization server, if there is one and it differs from that of `old`: every
/// replica's line must state the same keys.
pub(super) fn log_authorization_server(config: &Config, old: Option<&Config>) {
    let Some(authorization) = &config.authorization else {
        return;
    };
    let keys = key_ids(authorization);
    let before = old
        .and_then(|old| old.authorization.as_ref())
        .map(|old| (old.issuer.as_str(), key_ids(old)));
    if before.is_some_and(|(issuer, old_keys)| issuer == authorization.issuer && old_keys == keys) {
        return;
    }
    tracing::info!(
        issuer = authorization.issuer,
        login = authorization.login.issuer,
        keys = keys.join(", "),
        registration = authorization.clients.registration.enabled,
        "serving logins of MCP clients"
    );
}

/// `kid`s, the current key's first.
fn key_ids(authorization: &AuthorizationConfig) -> Vec<String> {
    let set = SigningKeys::from_config(&authorization.signing_keys).map(|keys| keys.jwks());
    let keys = set.ok().and_then(|set| set["keys"].as_array().cloned());
    let ids = keys.into_iter().flatten();
    ids.filter_map(|key| Some(key["kid"].as_str()?.to_owned()))
        .collect()
}
