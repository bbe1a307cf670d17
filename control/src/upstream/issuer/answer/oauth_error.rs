//! The OAuth error of a response (RFC 6749 §5.2), whatever status and text surround it.

use super::members::Members;
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::error_meaning::ErrorMeaning;

/// The longest code that is logged, in characters.
const LONGEST_CODE: usize = 40;

/// An OAuth error with a known code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OauthError {
    pub(super) meaning: ErrorMeaning,
    /// The code, safe to log.
    pub(super) code: String,
}

impl OauthError {
    /// The error of a response with `status`; `None` if it has no known code. An unknown code says nothing about a login:
    /// gateways answer `{"error":"Not Found"}`.
    pub(super) fn read(status: u16, members: &Members, dialect: Dialect) -> Option<Self> {
        let code = members.text("error")?.trim().to_ascii_lowercase();
        let description = members.text("error_description").unwrap_or_default();
        Some(Self {
            meaning: dialect.error_meaning(status, &code, description)?,
            code: loggable(&code),
        })
    }
}

/// An unknown `error` code, safe to log.
pub(super) fn unknown_code(members: &Members) -> Option<String> {
    members
        .text("error")
        .map(loggable)
        .filter(|code| !code.is_empty())
}

/// At most [`LONGEST_CODE`] of the letters, digits and underscores that registered codes consist of.
fn loggable(code: &str) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    code.chars().filter(plain).take(LONGEST_CODE).collect()
}
