//! The text of a refresh token: `twr1.` and, in base64url, the session's id (16 bytes), the generation (4) and a proof (32).
//!
//! The proof is an HMAC of session and generation under the family's secret. Any generation can therefore be checked,
//! without a list of those that were given: a guess is never taken for the reuse of an old token, and a token whose
//! rotation the store has lost (a failover to a replica that lagged) is still recognised.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::authorization::random;
use crate::digest;
use crate::store::StoreError;

const PREFIX: &str = "twr1.";
const SESSION_BYTES: usize = 16;
const GENERATION_BYTES: usize = 4;
const PROOF_BYTES: usize = 32;

/// A session id is 16 bytes in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id of a login is 32 lower-case hex digits")]
pub struct NotASessionId;

/// A new session id (`sid`) for a login.
///
/// # Errors
/// [`StoreError::Failed`] without random bytes.
pub fn new_session_id() -> Result<SecretString, StoreError> {
    Ok(digest::hex(&random::bytes::<SESSION_BYTES>()?).into())
}

/// Proves the refresh tokens of one family. Stored only sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct FamilySecret([u8; 32]);

impl std::fmt::Debug for FamilySecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FamilySecret")
    }
}

impl FamilySecret {
    /// A new one.
    ///
    /// # Errors
    /// [`StoreError::Failed`] without random bytes.
    pub fn generate() -> Result<Self, StoreError> {
        random::bytes().map(Self)
    }

    /// The secret with these bytes: for tests.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }

    /// The refresh token of `generation` of the login with the session `session`.
    ///
    /// # Errors
    /// [`NotASessionId`].
    pub fn token(&self, session: &SecretString, generation: u32) -> Result<SecretString, NotASessionId> {
        let session = session_bytes(session).ok_or(NotASessionId)?;
        let proof = hmac::sign(&self.key(), &proven(session, generation));
        let mut bytes = proven(session, generation).to_vec();
        bytes.extend_from_slice(proof.as_ref());
        Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)).into())
    }
}

/// A refresh token as a client presents it; nothing about it is verified.
#[derive(Clone)]
pub struct PresentedRefreshToken {
    session: [u8; SESSION_BYTES],
    /// The generation that it states.
    pub generation: u32,
    proof: [u8; PROOF_BYTES],
}

impl PresentedRefreshToken {
    /// Parses a refresh token; `None` for any other text.
    #[must_use]
    pub fn read(token: &SecretString) -> Option<Self> {
        let encoded = token.expose_secret().strip_prefix(PREFIX)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (session, rest) = bytes.split_first_chunk::<SESSION_BYTES>()?;
        let (generation, rest) = rest.split_first_chunk::<GENERATION_BYTES>()?;
        let (proof, []) = rest.split_first_chunk::<PROOF_BYTES>()? else {
            return None;
        };
        Some(Self {
            session: *session,
            generation: u32::from_be_bytes(*generation),
            proof: *proof,
        })
    }

    /// The id of the session that it states.
    #[must_use]
    pub fn session(&self) -> SecretString {
        digest::hex(&self.session).into()
    }

    /// Whether `secret` proves it; in constant time.
    #[must_use]
    pub fn is_proven_by(&self, secret: &FamilySecret) -> bool {
        hmac::verify(&secret.key(), &proven(self.session, self.generation), &self.proof).is_ok()
    }
}

/// Whether `session` can be the id of a login's session.
#[must_use]
pub fn is_session_id(session: &SecretString) -> bool {
    session_bytes(session).is_some()
}

fn session_bytes(session: &SecretString) -> Option<[u8; SESSION_BYTES]> {
    let (pairs, []) = session.expose_secret().as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; SESSION_BYTES];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digest::nibble(*high)? << 4 | digest::nibble(*low)?;
    }
    Some(bytes)
}

fn proven(session: [u8; SESSION_BYTES], generation: u32) -> [u8; SESSION_BYTES + GENERATION_BYTES] {
    let mut proven = [0; SESSION_BYTES + GENERATION_BYTES];
    let (start, end) = proven.split_at_mut(SESSION_BYTES);
    start.copy_from_slice(&session);
    end.copy_from_slice(&generation.to_be_bytes());
    proven
}
