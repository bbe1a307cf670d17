//! A code request, recognised when it is sent again.

use crate::digest;
use crate::store::Key;

/// Digest of a token request: of its client and its parameters, without the client's credentials, which may be in the header
/// of one request and in the body of the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestDigest(String);

/// Parameters that authenticate the client (RFC 6749 §2.3.1).
const CREDENTIALS: [&str; 2] = ["client_id", "client_secret"];

impl RequestDigest {
    /// The request of `client_id` at `issuer` with these form parameters, in any order.
    #[must_use]
    pub fn of<'a>(
        issuer: &str,
        client_id: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut parameters: Vec<(&str, &str)> = parameters
            .into_iter()
            .filter(|(name, _)| !CREDENTIALS.contains(name))
            .collect();
        parameters.sort_unstable();
        let named = parameters.iter().flat_map(|(name, value)| [*name, *value]);
        let parts: Vec<&str> = ["relay_request", issuer, client_id]
            .into_iter()
            .chain(named)
            .collect();
        Self(digest::hex_of_parts(&parts))
    }

    /// 64 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the record that leads to the login which this request made.
    pub(super) fn record(&self) -> Key {
        Key::new("relay_request", &self.0)
    }
}
