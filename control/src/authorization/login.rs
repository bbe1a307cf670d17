//! A login at our authorization server: which client may act for which user, at which server.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::client::ClientOfLogin;
use crate::record::secret_text;

/// What a user has approved and the upstream issuer has confirmed. Stored only sealed: with the authorization code, then
/// with the refresh tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuthorizedLogin {
    /// The client, and how it authenticates.
    pub client: ClientOfLogin,
    /// The client's name as the user saw it.
    pub client_name: String,
    /// The redirect URI as the client sent it.
    pub redirect_uri: String,
    /// PKCE, method S256 (RFC 7636 §4.2).
    pub code_challenge: String,
    /// The server's configured name.
    pub server: String,
    /// The server's resource identifier.
    pub resource: String,
    /// What the client may have.
    pub scope: Vec<String>,
    /// The user: `sub` at the upstream issuer.
    pub subject: String,
    /// The session's id (`sid`): 32 hex digits, a bearer credential. The login has exactly one.
    #[serde(with = "secret_text")]
    pub session: SecretString,
    /// When the user logged in, Unix ms.
    pub logged_in_at_ms: u64,
}

/// Whether `sent` names the resource `own` (RFC 8707 §2). One trailing slash after a bare host does not count: some clients
/// parse the URL, which adds it.
#[must_use]
pub fn is_same_resource(own: &str, sent: &str) -> bool {
    own == sent || is_slashed(own, sent) || is_slashed(sent, own)
}

/// Whether `slashed` is `bare`, which has no path, and a slash.
fn is_slashed(bare: &str, slashed: &str) -> bool {
    let has_path = bare
        .split_once("://")
        .is_none_or(|(_, rest)| rest.contains(['/', '?', '#']));
    !has_path && slashed.strip_suffix('/') == Some(bare)
}
