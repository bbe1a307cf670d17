//! The last outcome of a pair: what links the digest of a log line to a session and a user.

use serde::{Deserialize, Serialize};

use super::event::User;
use crate::digest;

/// How the last request of a pair ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairOutcome {
    /// It got a token.
    Token,
    /// It got none.
    Refused {
        /// The refusal's name.
        refusal: String,
        /// The exact cause; empty where the refusal is clear by itself.
        cause: String,
    },
}

/// A pair of a proven user and a configured server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRecord {
    /// The first eight digits of its digest, as in the filter's log lines.
    pub pair: String,
    /// The server's configured name.
    pub server: String,
    /// The session's digest, 64 hex digits; `None` where requests name no session, and the user is the session.
    pub session: Option<String>,
    /// The grant's digest, 64 hex digits.
    pub grant: String,
    /// The issuer of the user's login.
    pub issuer: String,
    /// The user, as far as the presented token states it.
    pub user: User,
    /// How the last recorded request ended.
    pub outcome: PairOutcome,
    /// When, Unix ms.
    pub at_ms: u64,
}

impl PairRecord {
    /// What the pair is listed under: its session's digest, else [`user_owner`].
    #[must_use]
    pub fn owner(&self) -> String {
        self.session
            .clone()
            .unwrap_or_else(|| user_owner(&self.issuer, &self.user.subject))
    }
}

/// What pairs without a session are listed under: a digest of the user, 64 hex digits.
#[must_use]
pub fn user_owner(issuer: &str, subject: &str) -> String {
    digest::hex_of_parts(&["user", issuer, subject])
}

/// Whether `text` has the form of a pair's digest in a log line: eight lower-case hex digits.
#[must_use]
pub fn is_pair_digest(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|digit| digest::nibble(digit).is_some())
}
