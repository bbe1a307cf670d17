//! The grant record, as it lies in the store.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokenward_protocol::jwt::Claims;

use crate::digest;
use crate::record::codec;
use crate::record::sealed::Sealed;
use crate::store::{Key, Lineage, StoreError};
use crate::upstream::issuer::answer::Death;
use crate::upstream::streak::Streak;

/// Version of the record's shape.
pub const FORMAT: u8 = 2;

/// Names one grant: issuer, client and user, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GrantKey {
    digest: String,
}

impl GrantKey {
    /// The grant of the user `subject` for `client_id` at `issuer`.
    #[must_use]
    pub fn new(issuer: &str, client_id: &str, subject: &str) -> Self {
        Self {
            digest: digest::hex_of_parts(&["grant", issuer, client_id, subject]),
        }
    }

    /// The grant whose [`GrantKey::digest`] was kept in another record.
    #[must_use]
    pub fn from_digest(digest: String) -> Self {
        Self { digest }
    }

    /// 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Where its record is.
    #[must_use]
    pub fn record(&self) -> Key {
        Key::new("grant", &self.digest)
    }

    /// The lease under which it is refreshed.
    #[must_use]
    pub fn lease(&self) -> Key {
        Key::new("lease", &format!("grant:{}", self.digest))
    }

    /// The set of its sessions.
    #[must_use]
    pub fn sessions(&self) -> Key {
        Key::new("grant_sessions", &self.digest)
    }

    /// The set of the exchanged tokens made from it.
    #[must_use]
    pub fn exchanges(&self) -> Key {
        Key::new("grant_exchanges", &self.digest)
    }
}

/// What an issuer gave for (issuer, client, user). The user's name is only in the record's key, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantRecord {
    /// [`FORMAT`].
    pub format: u8,
    /// `iss`.
    pub issuer: String,
    /// The client that logged the user in.
    pub client_id: String,
    /// Grows with each login; a newer login supersedes everything of the older.
    pub generation: u64,
    /// Whether it can still be refreshed.
    pub state: GrantState,
    /// The newest ID token.
    pub id_token: Option<StoredIdToken>,
    /// The newest refresh token.
    pub refresh_token: Option<StoredRefreshToken>,
    /// Fingerprint of the refresh token of the login itself: recognises the same login when it is put again.
    #[serde(with = "digest::packed::option")]
    pub login_fingerprint: Option<String>,
    /// A presentation of the refresh token whose outcome is not known yet.
    pub intent: Option<Intent>,
    /// Failures since the last success.
    pub failures: Option<Streak>,
    /// Grows with each time that the user is signed out everywhere: what was made before the last time is over, also
    /// where it could not be removed.
    pub sign_outs: u64,
    /// Unix seconds: tokens that were issued earlier are of logins before the last of them, and open nothing any more.
    pub valid_from_seconds: Option<u64>,
    /// The store's line of writes in which this was last known to be the newest; at `strict` issuers only.
    pub lineage: Option<Lineage>,
    /// Fingerprints of refresh tokens that were used up or dead when the login ended, and of all tokens that a sign-out
    /// everywhere ended: a login that brings one back is dead at once, or refused.
    #[serde(with = "digest::packed::list")]
    pub retired: Vec<String>,
    /// When this generation began, Unix ms.
    pub logged_in_at_ms: u64,
    /// The last refresh, Unix ms.
    pub refreshed_at_ms: Option<u64>,
    /// The last login, refresh or attempt at one, Unix ms.
    pub last_used_at_ms: u64,
}

/// Whether a grant can be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GrantState {
    /// As far as anyone knows.
    Active,
    /// The issuer refused the refresh token, but somebody else may just have rotated it.
    Suspect {
        /// Unix ms.
        since_ms: u64,
    },
    /// Never again; only a new login helps.
    Dead {
        /// Why.
        reason: DeathReason,
        /// Unix ms.
        since_ms: u64,
    },
    /// The user signed out. Kept for a while so that nothing in flight brings the grant back.
    SignedOut {
        /// Unix ms.
        since_ms: u64,
    },
}

/// Why a grant is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeathReason {
    /// The refresh token was used elsewhere, revoked, or replaced by a login that was not put here.
    Claimed,
    /// Past the issuer's lifetimes.
    Expired,
    /// The issuer said `invalid_grant`.
    InvalidGrant,
    /// The issuer failed this grant's refresh for longer than the configured limit.
    IssuerFailing,
    /// The token was presented, the answer was lost, and it cannot be presented again.
    AnswerLost,
    /// The store went back to before a refresh whose outcome nobody here knows.
    Forgotten,
    /// The store may have gone back, and the issuer does not tell whether the token is still unused.
    Unproven,
    /// The login brought a refresh token that was used up or dead already.
    Retired,
    /// The issuer wants the user to log in or to consent again.
    Interaction,
}

impl From<Death> for DeathReason {
    fn from(death: Death) -> Self {
        match death {
            Death::Claimed => Self::Claimed,
            Death::Expired => Self::Expired,
            Death::InvalidGrant => Self::InvalidGrant,
            Death::Interaction => Self::Interaction,
        }
    }
}

impl DeathReason {
    /// For logs and answers.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Claimed => "the refresh token was used elsewhere, revoked, or replaced by another login",
            Self::Expired => "the refresh token is past the issuer's lifetimes",
            Self::InvalidGrant => "the issuer answered invalid_grant",
            Self::Interaction => {
                "the issuer wants the user to log in or to consent again (interaction_required or the like)"
            }
            Self::AnswerLost => {
                "the issuer's answer to a refresh was lost and the token cannot be used again; a Dex whose \
                 reuseInterval is 60 s or more forgives that"
            }
            Self::Forgotten => {
                "the store has lost the outcome of a refresh, and the refresh token that it kept is used up"
            }
            Self::Unproven => {
                "the store was restarted or replaced since the last refresh, and the issuer, which punishes a refresh \
                 token that comes twice, does not tell whether the kept one is unused (RFC 7662)"
            }
            Self::Retired => "the login that was put holds a refresh token that is used up or was signed out",
            Self::IssuerFailing => "the issuer has failed to refresh this login for too long",
        }
    }
}

/// A kept ID token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredIdToken {
    /// The token.
    pub sealed: Sealed,
    /// Recognises the token without opening it.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
    /// `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: Option<u64>,
    /// `aud`.
    pub audiences: Vec<String>,
}

/// A kept refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredRefreshToken {
    /// The token.
    pub sealed: Sealed,
    /// Recognises the token without opening it.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
}

/// Written ahead of a presentation: who presents what, since when.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// The generation that is refreshed.
    pub generation: u64,
    /// The refresh token that is presented.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
    /// Who presents it.
    pub holder: String,
    /// Unix ms.
    pub started_at_ms: u64,
    /// The presenter itself said that the answer was lost: it will not come back with one.
    pub lost: bool,
}

/// Field names for sealing.
pub(super) const ID_TOKEN_FIELD: &str = "id_token";
pub(super) const REFRESH_TOKEN_FIELD: &str = "refresh_token";

/// A one-way mark of a token.
#[must_use]
pub fn fingerprint(token: &SecretString) -> String {
    digest::hex_of_parts(&["token", token.expose_secret()])
}

impl GrantRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] for another format: transient to callers, never a sign-out.
    pub fn read(key: &Key, bytes: &[u8]) -> Result<Self, StoreError> {
        codec::decode(FORMAT, key, bytes)
    }

    /// The record as bytes.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; a record of plain data always serializes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        codec::encode("serialize grant", self)
    }
}

/// Whether a token with `claims` is newer than `kept`: by `iat`, and where that is missing or equal, by `exp`.
#[must_use]
pub fn is_newer(claims: &Claims, kept: &StoredIdToken) -> bool {
    match (claims.issued_at_seconds, kept.issued_at_seconds) {
        (Some(new), Some(old)) if new != old => new > old,
        _ => claims.exp_seconds > kept.exp_seconds,
    }
}

/// Whether a token with `claims` is older than `kept`, in the same order.
#[must_use]
pub fn is_older(claims: &Claims, kept: &StoredIdToken) -> bool {
    match (claims.issued_at_seconds, kept.issued_at_seconds) {
        (Some(new), Some(old)) if new != old => new < old,
        _ => claims.exp_seconds < kept.exp_seconds,
    }
}
