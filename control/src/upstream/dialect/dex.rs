//! Dex. Its error texts and statuses were observed on Dex 2.45.1.

use url::Url;

use super::RemoteAddresses;
use super::error_meaning::ErrorMeaning;

/// For a refresh token that was used, rotated away, revoked or replaced, or never existed.
const REFRESH_TOKEN_CLAIMED: &str = "Refresh token is invalid or has already been claimed by another client.";
/// The answer to such a token; its status is 400.
pub(super) const DEAD_REFRESH_TOKEN: (&str, &str) = ("invalid_request", REFRESH_TOKEN_CLAIMED);
/// For a refresh token past its lifetimes.
const REFRESH_TOKEN_EXPIRED: &str = "Refresh token expired.";
/// For a wrong `connector_id`.
const UNKNOWN_CONNECTOR: &str = "Requested connector does not exist.";
/// Scopes with this prefix add another client to `aud`.
const CROSS_CLIENT_SCOPE: &str = "audience:server:client_id:";

/// The form parameter that selects the connector of an exchange.
pub(super) const CONNECTOR_PARAMETER: &str = "connector_id";

/// The meaning of an error that Dex writes other than RFC 6749 §5.2: a dead refresh token is `invalid_request` with one
/// of two texts, and a failed connector or storage is `invalid_request` with status 500.
pub(super) fn error_meaning(status: u16, code: &str, description: &str) -> Option<ErrorMeaning> {
    match (code, description) {
        ("invalid_request", _) if status >= 500 => Some(ErrorMeaning::IssuerFailing),
        ("invalid_request", REFRESH_TOKEN_CLAIMED) => Some(ErrorMeaning::RefreshTokenClaimed),
        ("invalid_request", REFRESH_TOKEN_EXPIRED) => Some(ErrorMeaning::RefreshTokenExpired),
        ("invalid_request", UNKNOWN_CONNECTOR) => Some(ErrorMeaning::UnknownConnector),
        _ => None,
    }
}

/// The issuer and its keys: Dex serves `/token` and `/keys` below its issuer identifier.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    if token_endpoint.query().is_some() {
        return None;
    }
    let issuer = token_endpoint.as_str().strip_suffix("/token")?;
    Some(RemoteAddresses {
        jwks_uri: Url::parse(&format!("{issuer}/keys")).ok()?,
        issuer: issuer.to_owned(),
    })
}

/// `^[a-zA-Z][a-zA-Z0-9_-]*$`, the MCPServer CRD's pattern.
pub(super) fn is_connector_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether `audience` can stand in a cross-client scope without ending the scope and starting another.
pub(super) fn is_audience(audience: &str) -> bool {
    !audience.is_empty()
        && audience
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// `scopes` with those that put `audiences` into `aud`. Dex puts the exchanging client itself there; each other audience
/// needs its cross-client scope.
pub(super) fn scopes_for(scopes: &str, audiences: &[String], client_id: &str) -> String {
    let mut scopes: Vec<String> = scopes.split(' ').map(str::to_owned).collect();
    let cross_client = |audience: &str| format!("{CROSS_CLIENT_SCOPE}{audience}");
    for audience in audiences {
        let scope = cross_client(audience);
        if audience != client_id && !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    // With a cross-client scope Dex omits the client from `aud` unless its own scope is requested as well.
    let own = cross_client(client_id);
    let is_cross_client = scopes.iter().any(|scope| scope.starts_with(CROSS_CLIENT_SCOPE));
    if is_cross_client && audiences.iter().any(|audience| audience == client_id) && !scopes.contains(&own) {
        scopes.push(own);
    }
    scopes.join(" ")
}
