//! Authorization codes (RFC 6749 §4.1): 256 random bits, stored as a digest, good for a minute and one use.
//!
//! A request that does not prove the code's bindings uses nothing up: a code that leaked cannot be spoiled. A second use
//! that proves them ends the login of the first (OAuth 2.1 §4.1.3): one of both is not the client.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::login::{AuthorizedLogin, is_same_resource};
use super::refusal::{AuthorizationRefusal, AuthorizationRefused};
use super::{pkce, random};
use crate::context::Context;
use crate::digest;
use crate::failpoint;
use crate::record::codec;
use crate::record::sealed::{self, Sealed};
use crate::store::{Expected, Key, Revision, StoreError, WriteOutcome};

const FORMAT: u8 = 1;
const BYTES: usize = 32;
const LOGIN: &str = "login";
/// How long a code can be used.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a used code is recognised.
const USED_LIFETIME: Duration = Duration::from_secs(600);

#[derive(Serialize, Deserialize)]
struct CodeRecord {
    format: u8,
    /// The redemption that used the code up.
    used_by: Option<[u8; 16]>,
    /// [`AuthorizedLogin`].
    login: Sealed,
}

/// A stored code.
pub struct StoredCode {
    key: Key,
    revision: Revision,
    /// What it stands for.
    pub login: AuthorizedLogin,
    /// Whether it was used before.
    pub is_used: bool,
}

/// How a use of a code ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It was the first.
    First,
    /// Another request used it in between.
    Repeated,
}

/// What a client sends with a code.
#[derive(Debug)]
pub struct CodePresentation<'a> {
    /// `redirect_uri`, as in the authorization request.
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`.
    pub code_verifier: Option<&'a SecretString>,
    /// `resource`, if sent.
    pub resource: Option<&'a str>,
}

impl CodePresentation<'_> {
    /// Whether it proves the bindings of `login` (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 8707 §2.2).
    ///
    /// # Errors
    /// [`AuthorizationRefused`] that uses nothing up.
    pub fn proves(&self, login: &AuthorizedLogin) -> Result<(), AuthorizationRefused> {
        let mismatch =
            |cause| Err(AuthorizationRefused::new(AuthorizationRefusal::CodeMismatch).because(cause));
        let Some(verifier) = self.code_verifier else {
            return Err(AuthorizationRefused::bad_request("code_verifier is missing"));
        };
        let Some(redirect_uri) = self.redirect_uri else {
            return Err(AuthorizationRefused::bad_request("redirect_uri is missing"));
        };
        if !pkce::is_well_formed(verifier.expose_secret()) {
            return Err(AuthorizationRefused::bad_request(
                "code_verifier is not 43 to 128 unreserved characters",
            ));
        }
        if redirect_uri != login.redirect_uri {
            return mismatch("redirect_uri is not the one of the authorization request");
        }
        if !pkce::is_verifier_of(verifier.expose_secret(), &login.code_challenge) {
            return mismatch("code_verifier does not fit the code_challenge");
        }
        match self.resource {
            Some(resource) if !is_same_resource(&login.resource, resource) => {
                Err(AuthorizationRefusal::InvalidTarget.into())
            }
            _ => Ok(()),
        }
    }
}

/// The codes in a store. Cheap to clone.
#[derive(Clone)]
pub struct Codes {
    context: Context,
}

fn key_of(code: &SecretString) -> Key {
    Key::new(
        "login_code",
        &digest::hex_of_parts(&["login_code", code.expose_secret()]),
    )
}

impl Codes {
    /// Codes in the context's store.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// A new code for `login`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn issue(&self, login: &AuthorizedLogin) -> Result<SecretString, StoreError> {
        let code = SecretString::from(URL_SAFE_NO_PAD.encode(random::bytes::<BYTES>()?));
        let key = key_of(&code);
        let record = CodeRecord {
            format: FORMAT,
            used_by: None,
            login: sealed::seal_value(&self.context.ring, &key, LOGIN, login)?,
        };
        let bytes = codec::encode("serialize code", &record)?;
        let store = &self.context.store;
        store
            .write(&key, Expected::Absent, &bytes, Some(LIFETIME))
            .await?;
        Ok(code)
    }

    /// The stored code, used or not; `None` if it was never issued or has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(&self, code: &SecretString) -> Result<Option<StoredCode>, StoreError> {
        let key = key_of(code);
        let Some(entry) = self.context.store.read(&key).await? else {
            return Ok(None);
        };
        let record: CodeRecord = codec::decode(FORMAT, &key, &entry.value)?;
        let login = sealed::open_value(&self.context.ring, &key, LOGIN, &record.login)?;
        Ok(Some(StoredCode {
            revision: entry.revision,
            login,
            is_used: record.used_by.is_some(),
            key,
        }))
    }

    /// Uses `code` up. A write whose outcome is unknown is read again once: the client cannot repeat it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn use_up(&self, code: &StoredCode) -> Result<Use, StoreError> {
        let redemption = random::bytes()?;
        let record = CodeRecord {
            format: FORMAT,
            used_by: Some(redemption),
            login: sealed::seal_value(&self.context.ring, &code.key, LOGIN, &code.login)?,
        };
        let bytes = codec::encode("serialize code", &record)?;
        failpoint::reached("before", "code_used");
        let expected = Expected::At(code.revision);
        let written = self
            .context
            .store
            .write(&code.key, expected, &bytes, Some(USED_LIFETIME))
            .await;
        failpoint::reached("after", "code_used");
        match written {
            Ok(WriteOutcome::Done(_)) => Ok(Use::First),
            Ok(WriteOutcome::Conflict(_)) => Ok(Use::Repeated),
            Err(unknown) => self.outcome_of(code, redemption).await?.ok_or(unknown),
        }
    }

    /// What became of the write of `redemption`; `None`: it was not done.
    async fn outcome_of(&self, code: &StoredCode, redemption: [u8; 16]) -> Result<Option<Use>, StoreError> {
        let Some(entry) = self.context.store.read(&code.key).await? else {
            return Ok(None);
        };
        let record: CodeRecord = codec::decode(FORMAT, &code.key, &entry.value)?;
        Ok(match record.used_by {
            None => None,
            Some(by) if by == redemption => Some(Use::First),
            Some(_) => Some(Use::Repeated),
        })
    }
}
