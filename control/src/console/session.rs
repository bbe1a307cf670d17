//! A login at the console: a sealed cookie, valid for a configured time.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokenward_protocol::duration::whole_ms;

use super::identity::UserIdentity;
use super::sealed_cookie::{self, NotSealed};
use crate::authorization::browser;
use crate::digest;
use crate::record::keyring::KeyRing;
use crate::record::secret_text;

const FORMAT: u8 = 1;
const PURPOSE: &str = "console_session";
/// How far the clock of the replica that made the cookie may be ahead.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(120);

/// An operator's login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleSession {
    format: u8,
    #[serde(with = "secret_text")]
    id: SecretString,
    /// `sub` of the operator.
    pub subject: String,
    /// What the operator is called.
    pub label: String,
    #[serde(with = "secret_text")]
    csrf: SecretString,
    began_at_ms: u64,
}

impl ConsoleSession {
    /// The login of `operator` at `now_ms`.
    ///
    /// # Errors
    /// [`NotSealed`] without random bytes.
    pub fn begin(operator: &UserIdentity, now_ms: u64) -> Result<Self, NotSealed> {
        Ok(Self {
            format: FORMAT,
            id: browser::random_text()?,
            subject: operator.subject.clone(),
            label: operator.label().to_owned(),
            csrf: browser::random_text()?,
            began_at_ms: now_ms,
        })
    }

    /// The cookie's value.
    ///
    /// # Errors
    /// [`NotSealed`].
    pub fn seal(&self, ring: &KeyRing) -> Result<SecretString, NotSealed> {
        sealed_cookie::seal(ring, PURPOSE, self)
    }

    /// Opens a cookie's value; `None` if it is not one, or older than `lifetime` at `now_ms`.
    #[must_use]
    pub fn open(ring: &KeyRing, sealed: &str, lifetime: Duration, now_ms: u64) -> Option<Self> {
        let session: Self = sealed_cookie::open(ring, PURPOSE, sealed)?;
        let earliest = now_ms.saturating_sub(whole_ms(lifetime));
        let latest = now_ms.saturating_add(whole_ms(CLOCK_DIFFERENCE));
        let is_current =
            session.format == FORMAT && session.began_at_ms > earliest && session.began_at_ms <= latest;
        is_current.then_some(session)
    }

    /// The token that each of its forms carries.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.csrf.expose_secret()
    }

    /// Whether `token`, from a form, is [`ConsoleSession::csrf`], in constant time.
    #[must_use]
    pub fn is_csrf(&self, token: &str) -> bool {
        self.csrf().as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// Names the login without opening it, for the record of its sign-out.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::hex_of_parts(&["console session", self.id.expose_secret()])
    }
}
