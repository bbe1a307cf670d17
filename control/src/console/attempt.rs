//! A login at the console that is under way: what the browser holds until the issuer sends it back.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokenward_protocol::duration::whole_ms;

use super::sealed_cookie::{self, NotSealed};
use crate::authorization::browser;
use crate::record::keyring::KeyRing;
use crate::record::secret_text;

const FORMAT: u8 = 1;
const PURPOSE: &str = "console_login";
/// How long an operator may take at the issuer.
pub const LIFETIME: Duration = Duration::from_secs(600);
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(120);

/// The random values of one login (RFC 6749 §10.12, RFC 7636, OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginAttempt {
    format: u8,
    #[serde(with = "secret_text")]
    state: SecretString,
    /// `nonce`.
    pub nonce: String,
    /// `code_verifier`.
    #[serde(with = "secret_text")]
    pub code_verifier: SecretString,
    /// Where the operator wanted to go: [`own_path`].
    pub to: String,
    began_at_ms: u64,
}

impl LoginAttempt {
    /// A new one at `now_ms`, which leads to `to`.
    ///
    /// # Errors
    /// [`NotSealed`] without random bytes.
    pub fn begin(to: &str, now_ms: u64) -> Result<Self, NotSealed> {
        Ok(Self {
            format: FORMAT,
            state: browser::random_text()?,
            nonce: browser::random_text()?.expose_secret().to_owned(),
            code_verifier: browser::random_text()?,
            to: own_path(to).to_owned(),
            began_at_ms: now_ms,
        })
    }

    /// `state`.
    #[must_use]
    pub fn state(&self) -> &SecretString {
        &self.state
    }

    /// Whether `state`, of the issuer's response, is this one's, in constant time.
    #[must_use]
    pub fn is_state(&self, state: &SecretString) -> bool {
        let (own, other) = (self.state.expose_secret(), state.expose_secret());
        own.as_bytes().ct_eq(other.as_bytes()).into()
    }

    /// The cookie's value.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn seal(&self, ring: &KeyRing) -> Result<SecretString, NotSealed> {
        sealed_cookie::seal(ring, PURPOSE, self)
    }

    /// Opens a cookie's value; `None` if it is not one, or older than [`LIFETIME`] at `now_ms`.
    #[must_use]
    pub fn open(ring: &KeyRing, sealed: &str, now_ms: u64) -> Option<Self> {
        let attempt: Self = sealed_cookie::open(ring, PURPOSE, sealed)?;
        let earliest = now_ms.saturating_sub(whole_ms(LIFETIME));
        let latest = now_ms.saturating_add(whole_ms(CLOCK_DIFFERENCE));
        let is_current = attempt.format == FORMAT && (earliest..=latest).contains(&attempt.began_at_ms);
        is_current.then_some(attempt)
    }
}

/// `path` if it is one of the console, else the console's first page: a login never leads to another site.
#[must_use]
pub fn own_path(path: &str) -> &str {
    const FIRST: &str = "/console/";
    const LONGEST: usize = 512;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.?=&%~:".contains(&byte);
    let is_own = path.starts_with(FIRST) && path.len() <= LONGEST && path.bytes().all(plain);
    if is_own { path } else { FIRST }
}

#[cfg(test)]
mod tests;
