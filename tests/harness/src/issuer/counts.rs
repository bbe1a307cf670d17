//! Counts of the requests to the issuer.

use std::collections::HashMap;

use sha2::Digest as _;

/// Requests so far, of all users or of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IssuerCounts {
    /// Browsers that were sent to the authorization endpoint (counted for all clients together).
    pub authorizations: usize,
    /// Logins that succeeded.
    pub logins: usize,
    /// Refresh requests that arrived, whatever their outcome.
    pub refreshes_presented: usize,
    /// Refreshes that were done, also where the answer was lost on the way.
    pub refreshes_succeeded: usize,
    /// Exchange requests that arrived.
    pub exchanges_presented: usize,
    /// Exchanges that were done.
    pub exchanges_succeeded: usize,
    /// Fetches of `/keys` (counted for all clients together).
    pub key_fetches: usize,
    /// Fetches of the discovery document (counted for all clients together).
    pub discovery_fetches: usize,
    /// Requests to `/userinfo` (counted for all clients together).
    pub user_info_requests: usize,
    /// Requests to `/token/introspect` (counted for all clients together).
    pub introspections: usize,
    /// Requests to `/token/revoke` (counted for all clients together).
    pub revocations: usize,
    /// Requests that were cut because the issuer was down (counted for all clients together).
    pub while_down: usize,
}

/// One arrival of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    /// Email of the user it was issued to, `None` for a token that this issuer never issued.
    pub user: Option<String>,
    /// First 16 hex digits of the token's SHA-256, see [`fingerprint`].
    pub fingerprint: String,
}

/// First 16 hex digits of a token's SHA-256: distinguishes tokens without showing them.
pub fn fingerprint(token: &str) -> String {
    sha2::Sha256::digest(token)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) all: IssuerCounts,
    pub(crate) users: HashMap<String, IssuerCounts>,
    pub(crate) presentations: Vec<Presentation>,
    /// [`fingerprint`]s of tokens that were given back.
    pub(crate) revoked: Vec<String>,
}

impl Counter {
    /// Applies `count` to the total numbers and, where the user is known, to the user's.
    pub(crate) fn count(&mut self, user: Option<&str>, count: impl Fn(&mut IssuerCounts)) {
        count(&mut self.all);
        if let Some(user) = user {
            count(self.users.entry(user.to_owned()).or_default());
        }
    }
}
