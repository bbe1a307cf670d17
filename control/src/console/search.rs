//! What an operator searches for.

use secrecy::SecretString;

use super::sealed_cookie::{self, NotSealed};
use super::session::ConsoleSession;
use crate::record::keyring::KeyRing;

/// The longest term, in bytes: session handles are shorter.
pub const LONGEST_TERM: usize = 1024;
/// Hex digits of a digest in log lines.
const SHORT_DIGITS: usize = 8;
/// Hex digits of a whole digest.
const DIGITS: usize = 64;

/// A search term: whatever it is, it is also looked for as a session handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchTerm {
    text: String,
}

impl SearchTerm {
    /// Of what was typed or pasted; `None` if that is empty or too long.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.len() <= LONGEST_TERM).then(|| Self {
            text: text.to_owned(),
        })
    }

    /// The whole term.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The term as a digest of a log line or an address: 8 to 64 hex digits, also as `pair=…` or `session=…`.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let digits = ["pair=", "session=", "pair:", "session:"]
            .iter()
            .find_map(|prefix| self.text.strip_prefix(prefix))
            .unwrap_or(&self.text)
            .trim_matches(['"', ' '])
            .to_ascii_lowercase();
        let is_digest = (SHORT_DIGITS..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_digest.then_some(digits)
    }

    /// The term if it may be repeated on a page: a name or a short digest. Anything else may be a session handle or a token.
    #[must_use]
    pub fn shown(&self) -> Option<&str> {
        const LONGEST: usize = 100;
        let is_name = self.text.len() <= LONGEST && self.text.contains(['@', ' ']);
        let is_short_digest = self.digest().is_some_and(|digits| digits.len() == SHORT_DIGITS);
        (is_name || is_short_digest).then_some(&self.text)
    }

    /// The term for a form that goes on with it, sealed for the login `session`.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn seal(&self, ring: &KeyRing, session: &ConsoleSession) -> Result<SecretString, NotSealed> {
        sealed_cookie::seal(ring, &purpose(session), &self.text)
    }

    /// Opens what [`SearchTerm::seal`] made for `session`.
    #[must_use]
    pub fn open(ring: &KeyRing, session: &ConsoleSession, sealed: &str) -> Option<Self> {
        let text: String = sealed_cookie::open(ring, &purpose(session), sealed)?;
        Self::new(&text)
    }

    /// The term as a name: compared without regard to case.
    #[must_use]
    pub fn name(&self) -> String {
        normal(&self.text)
    }
}

fn purpose(session: &ConsoleSession) -> String {
    format!("console_search:{}", session.digest())
}

/// A name as it is compared: without regard to case and to blanks around it.
#[must_use]
pub fn normal(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
