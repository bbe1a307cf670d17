//! The authorization response: where the browser takes the answer to the client (RFC 6749 §4.1.2, RFC 9207). Pure.

use std::fmt::Write as _;

use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};
use tokenward_protocol::error_text::error_text;

use crate::authorization::refusal::AuthorizationRefused;

/// The parameters that only we may set in an answer. A redirect URI that brings one along loses it: the client could take
/// it for ours.
const OWN: [&str; 6] = ["code", "state", "iss", "error", "error_description", "error_uri"];

/// Where the answer to a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The redirect URI that the request named; one of the client's.
    pub redirect_uri: String,
    /// `state` of the request.
    pub state: Option<String>,
}

impl ReplyTo {
    /// The answer with a `code` of `issuer`.
    #[must_use]
    pub fn code(&self, issuer: &str, code: &str) -> String {
        self.with(issuer, &[("code", code)])
    }

    /// The answer of `issuer` that the request is refused.
    #[must_use]
    pub fn refused(&self, issuer: &str, refused: &AuthorizationRefused) -> String {
        let description = refused.description();
        self.with(
            issuer,
            &[
                ("error", refused.refusal.error()),
                ("error_description", &error_text(&description)),
            ],
        )
    }

    /// The redirect URI with `parameters`, `state` and `iss`. Its own query stays as it is, but for the parameters that are
    /// ours.
    fn with(&self, issuer: &str, parameters: &[(&str, &str)]) -> String {
        let (path, query) = match self.redirect_uri.split_once('?') {
            Some((path, query)) => (path, query),
            None => (self.redirect_uri.as_str(), ""),
        };
        let mut uri = format!("{path}?");
        for pair in query.split('&').filter(|pair| !pair.is_empty() && !is_own(pair)) {
            uri.push_str(pair);
            uri.push('&');
        }
        for (name, value) in parameters {
            append(&mut uri, name, value);
        }
        if let Some(state) = &self.state {
            append(&mut uri, "state", state);
        }
        append(&mut uri, "iss", issuer);
        // Each pair ends with a separator.
        uri.pop();
        uri
    }
}

fn append(uri: &mut String, name: &str, value: &str) {
    // Writing into a String cannot fail.
    let _ = write!(uri, "{name}=");
    uri.extend(byte_serialize(value.as_bytes()));
    uri.push('&');
}

/// Whether a client would read one of [`OWN`] from `pair`, however its name is encoded.
fn is_own(pair: &str) -> bool {
    form_urlencoded::parse(pair.as_bytes())
        .any(|(name, _)| OWN.iter().any(|own| name.trim().eq_ignore_ascii_case(own)))
}
