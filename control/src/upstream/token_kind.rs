//! The kinds of tokens that servers receive.

use serde::Serialize;
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// An ID token (OpenID Connect Core §2).
    IdToken,
    /// An access token of an upstream issuer, a JWT or opaque (RFC 6749 §1.4).
    AccessToken,
}

impl TokenKind {
    /// The token type identifier (RFC 8693 §3).
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::IdToken => TOKEN_TYPE_ID_TOKEN,
            Self::AccessToken => TOKEN_TYPE_ACCESS_TOKEN,
        }
    }
}
