//! Logins under way at the upstream issuer: stored only after the user has agreed, taken once, bound to the browser.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::browser::{BrowserDigest, BrowserSecret};
use super::request::CheckedRequest;
use super::request::sealed_form::LOGIN_LIFETIME;
use super::stored;
use crate::context::Context;
use crate::digest;
use crate::record::secret_text;
use crate::store::{Expected, Key, Revision, StoreError, WriteOutcome};

/// What [`BrowserSecret::digest`] is for here.
pub const COOKIE_PURPOSE: &str = "login";

/// A login under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpstreamLogin {
    /// The request of the client.
    pub request: CheckedRequest,
    /// The cookie of the browser in which the user agreed.
    pub browser: BrowserDigest,
    /// `nonce` of the login.
    pub nonce: String,
    /// `code_verifier` of the login.
    #[serde(with = "secret_text")]
    pub code_verifier: SecretString,
    /// Whether the issuer sends `iss` in every response.
    pub sends_issuer: bool,
    /// The user wants the consent remembered.
    pub remember: bool,
    /// The consent was remembered, so only this user may finish the login ([`super::consent::user_digest`]).
    pub consented_user: Option<String>,
}

/// `state` of a login at the upstream issuer.
#[derive(Debug, Clone)]
pub struct LoginState {
    digest: String,
}

impl LoginState {
    /// Of its value.
    #[must_use]
    pub fn of(state: &SecretString) -> Self {
        Self {
            digest: digest::hex_of_parts(&["login state", state.expose_secret()]),
        }
    }

    /// Distinguishes the cookies of logins that one browser has under way.
    #[must_use]
    pub fn cookie_suffix(&self) -> &str {
        digest::short(&self.digest)
    }

    /// 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn key(&self) -> Key {
        Key::new("login_request", &self.digest)
    }
}

/// A login that was read, not taken yet.
#[derive(Debug)]
pub struct FoundLogin {
    /// The login.
    pub login: UpstreamLogin,
    revision: Revision,
}

impl FoundLogin {
    /// Whether `secret`, of the browser's cookie, belongs to it.
    #[must_use]
    pub fn is_of(&self, secret: Option<&BrowserSecret>) -> bool {
        secret.is_some_and(|secret| self.login.browser.is(&secret.digest(COOKIE_PURPOSE)))
    }
}

/// Stores a login under `state` for [`LOGIN_LIFETIME`].
///
/// # Errors
/// [`StoreError`].
pub async fn store(context: &Context, state: &LoginState, login: &UpstreamLogin) -> Result<(), StoreError> {
    let key = state.key();
    let bytes = stored::to_bytes(&context.ring, &key, login)?;
    let store = &context.store;
    store
        .write(&key, Expected::Any, &bytes, Some(LOGIN_LIFETIME))
        .await
        .map(drop)
}

/// The login of `state`; `None` if it is unknown, finished or too old.
///
/// # Errors
/// [`StoreError`].
pub async fn find(context: &Context, state: &LoginState) -> Result<Option<FoundLogin>, StoreError> {
    let key = state.key();
    let Some(entry) = context.store.read(&key).await? else {
        return Ok(None);
    };
    Ok(Some(FoundLogin {
        login: stored::from_bytes(&context.ring, &key, &entry.value)?,
        revision: entry.revision,
    }))
}

/// Takes a login, once: `None` if another request took it first.
///
/// # Errors
/// [`StoreError`]. Whether it was taken is then unknown.
pub async fn take(
    context: &Context,
    state: &LoginState,
    found: FoundLogin,
) -> Result<Option<UpstreamLogin>, StoreError> {
    let expected = Expected::At(found.revision);
    match context.store.delete(&state.key(), expected).await? {
        WriteOutcome::Done(_) => Ok(Some(found.login)),
        WriteOutcome::Conflict(_) => Ok(None),
    }
}
