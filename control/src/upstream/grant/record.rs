//! The grant record in the store.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokenward_protocol::jwt::Claims;

use super::relayed::Relayed;
use crate::digest;
use crate::record::codec;
use crate::record::sealed::Sealed;
use crate::store::{Key, Lineage, Revision, StoreError};
use crate::upstream::issuer::answer::Death;
use crate::upstream::issuer::proven_tokens::TokenDigest;
use crate::upstream::streak::Streak;

/// Version of the record's format. Records of earlier versions are read, and each record is written in the earliest version
/// that holds it, so that the replicas of a rolling update read each other's.
pub const FORMAT: u8 = 4;
/// The version without [`Extras`].
const FORMAT_WITHOUT_EXTRAS: u8 = 3;
/// The version without [`Relayed`] either.
const FORMAT_WITHOUT_RELAY: u8 = 2;
/// What a record of version 2 lacks before its extras: [`Relayed::default`].
const NOTHING_RELAYED: [u8; 4] = [0; 4];
/// What a record of version 3 lacks at its end: [`Extras::default`].
const NO_EXTRAS: [u8; 2] = [0; 2];

/// Identifies a grant, as a digest: by issuer, client and user, or by one login.
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

    /// The grant of one login, whose first refresh token, issued to `client_id`, has this fingerprint (that of its ID token,
    /// if it came without one): its user is not known yet, or can have other logins as well.
    #[must_use]
    pub fn of_login(issuer: &str, client_id: &str, fingerprint: &str) -> Self {
        Self {
            digest: digest::hex_of_parts(&["refresh_token", issuer, client_id, fingerprint]),
        }
    }

    /// The grant with this [`GrantKey::digest`], which another record contains.
    #[must_use]
    pub fn from_digest(digest: String) -> Self {
        Self { digest }
    }

    /// 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key of its record.
    #[must_use]
    pub fn record(&self) -> Key {
        Key::new("grant", &self.digest)
    }

    /// The lease under which it is refreshed.
    #[must_use]
    pub fn lease(&self) -> Key {
        Key::new("lease", &format!("grant:{}", self.digest))
    }

    /// The key of the set of its sessions.
    #[must_use]
    pub fn sessions(&self) -> Key {
        Key::new("grant_sessions", &self.digest)
    }

    /// The key of the set of tokens exchanged from it.
    #[must_use]
    pub fn exchanges(&self) -> Key {
        Key::new("grant_exchanges", &self.digest)
    }
}

/// What an issuer issued for (issuer, client, user), or for one login of that user ([`GrantRecord::whose`]). The user
/// appears only in a key, as a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GrantRecord {
    /// [`FORMAT`].
    pub format: u8,
    /// `iss`.
    pub issuer: String,
    /// The client that logged the user in.
    pub client_id: String,
    /// Grows with each login; a newer login replaces everything of the older one.
    pub generation: u64,
    /// Whether it can still be refreshed.
    pub state: GrantState,
    /// The newest ID token.
    pub id_token: Option<StoredIdToken>,
    /// The newest refresh token.
    pub refresh_token: Option<StoredRefreshToken>,
    /// Fingerprint of the login's own refresh token: recognises the login when it is registered again.
    #[serde(with = "digest::packed::option")]
    pub login_fingerprint: Option<String>,
    /// A presentation of the refresh token whose outcome is unknown.
    pub intent: Option<Intent>,
    /// Failures since the last success.
    pub failures: Option<Streak>,
    /// Grows with each sign-out everywhere: sessions and exchanged tokens of an earlier count are over, even if they
    /// could not be deleted.
    pub sign_outs: u64,
    /// Unix seconds: tokens issued earlier belong to logins before the last sign-out everywhere and are not accepted.
    pub valid_from_seconds: Option<u64>,
    /// The store's lineage in which this was last known to be the newest record; at `strict` issuers only.
    pub lineage: Option<Lineage>,
    /// Fingerprints of refresh tokens that were used up or dead when their login ended, and of all tokens that a
    /// sign-out everywhere ended. A login that brings one of them is dead at once, or refused.
    #[serde(with = "digest::packed::list")]
    pub retired: Vec<String>,
    /// When this generation began, Unix ms.
    pub logged_in_at_ms: u64,
    /// The last refresh, Unix ms.
    pub refreshed_at_ms: Option<u64>,
    /// The last login, refresh or attempt at one, Unix ms.
    pub last_used_at_ms: u64,
    /// What clients that refresh through the relay need. Records of version 2 end before it.
    pub relayed: Relayed,
    /// What only some logins have. The last field: records of version 3 end before it.
    pub extras: Extras,
}

/// What only some logins have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extras {
    /// The newest access token, where some server needs it.
    pub access_token: Option<StoredAccessToken>,
    /// Whose login this is, where each login has a refresh token of its own: the record is of one login alone then.
    pub of_user: Option<OfUser>,
}

/// A stored access token of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredAccessToken {
    /// The token.
    pub sealed: Sealed,
    /// Identifies the token without opening it.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
    /// When it expires, Unix seconds.
    pub exp_seconds: u64,
    /// When it was issued, Unix seconds.
    pub issued_at_seconds: Option<u64>,
    /// `aud`, if it is a JWT.
    pub audiences: Vec<String>,
}

/// The user of a login that has a record of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OfUser {
    /// Digest of the key of the user's own grant, which holds the user's sign-outs.
    #[serde(with = "digest::packed")]
    pub user: String,
    /// The user's sign-outs when the login became known. A later one ends it.
    pub sign_outs: u64,
}

/// A record as read or written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionedGrant {
    /// The revision that the next compare-and-set must name.
    pub revision: Revision,
    /// The record.
    pub record: GrantRecord,
}

/// Whether a grant can be refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GrantState {
    /// As far as this process knows.
    Active,
    /// The issuer refused the refresh token, but another process may just have rotated it.
    Suspect {
        /// Unix ms.
        since_ms: u64,
    },
    /// Permanent; only a new login helps.
    Dead {
        /// Why.
        reason: DeathReason,
        /// Unix ms.
        since_ms: u64,
    },
    /// The user signed out. The record remains for a while so that no request in progress revives the grant.
    SignedOut {
        /// Unix ms.
        since_ms: u64,
    },
}

/// Why a grant is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeathReason {
    /// The refresh token was used elsewhere, revoked, or replaced by a login that was not registered here.
    Claimed,
    /// Past the issuer's lifetimes.
    Expired,
    /// The issuer answered `invalid_grant`.
    InvalidGrant,
    /// The issuer failed this grant's refresh for longer than the configured limit.
    IssuerFailing,
    /// The token was presented, the answer was lost, and it cannot be presented again.
    AnswerLost,
    /// The store went back to a state before a refresh, and no process knows its outcome.
    Forgotten,
    /// The store may have gone back, and the issuer does not report whether the token is still unused.
    Unproven,
    /// The login brought a refresh token that was already used up or dead.
    Retired,
    /// The issuer requires a new login or consent.
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
    /// One sentence for logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "the refresh token was used elsewhere, revoked, or replaced by another login",
            Self::Expired => "the refresh token is past the issuer's lifetimes",
            Self::InvalidGrant => "the issuer answered invalid_grant",
            Self::Interaction => {
                "the issuer requires the user to log in or to consent again (interaction_required or the like)"
            }
            Self::AnswerLost => {
                "the issuer's answer to a refresh was lost and the token cannot be used again; a Dex whose \
                 reuseInterval is 60 s or more forgives that"
            }
            Self::Forgotten => {
                "the store has lost the outcome of a refresh, and the refresh token that it holds is used up"
            }
            Self::Unproven => {
                "the store was restarted or replaced since the last refresh, and the issuer, which punishes a reused \
                 refresh token, does not report whether the stored one is unused (RFC 7662)"
            }
            Self::Retired => "the registered login has a refresh token that is used up or was signed out",
            Self::IssuerFailing => "the issuer has failed to refresh this login for too long",
        }
    }
}

/// A stored ID token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredIdToken {
    /// The token.
    pub sealed: Sealed,
    /// Identifies the token without opening it.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
    /// `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: Option<u64>,
    /// `aud`.
    pub audiences: Vec<String>,
}

/// A stored refresh token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredRefreshToken {
    /// The token.
    pub sealed: Sealed,
    /// Identifies the token without opening it.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
}

/// Written before a presentation: which process presents which token, since when.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// The generation to be refreshed.
    pub generation: u64,
    /// The refresh token to be presented.
    #[serde(with = "digest::packed")]
    pub fingerprint: String,
    /// The lease owner that presents it.
    pub holder: String,
    /// Unix ms.
    pub started_at_ms: u64,
    /// The presenter itself reported its answer as lost and will not return with one.
    pub lost: bool,
}

/// Field names for sealing.
pub(super) const ID_TOKEN_FIELD: &str = "id_token";
pub(super) const REFRESH_TOKEN_FIELD: &str = "refresh_token";
pub(super) const RESPONSE_FIELD: &str = "response";
pub(super) const ACCESS_TOKEN_FIELD: &str = "access_token";

/// A one-way fingerprint of a token.
#[must_use]
pub fn fingerprint(token: &SecretString) -> String {
    TokenDigest::of(token.expose_secret()).fingerprint()
}

impl GrantRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] for another format: transient to callers, never a sign-out.
    pub fn read(key: &Key, bytes: &[u8]) -> Result<Self, StoreError> {
        let missing: &[&[u8]] = match bytes.first() {
            Some(&FORMAT_WITHOUT_RELAY) => &[&NOTHING_RELAYED, &NO_EXTRAS],
            Some(&FORMAT_WITHOUT_EXTRAS) => &[&NO_EXTRAS],
            _ => &[],
        };
        if let (false, Some(rest)) = (missing.is_empty(), bytes.get(1..)) {
            let whole = [&[&[FORMAT], rest], missing].concat().concat();
            return codec::decode(FORMAT, key, &whole);
        }
        codec::decode(FORMAT, key, bytes)
    }

    /// The record as bytes.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; a record of plain data always serializes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = codec::encode("serialize grant", self)?;
        let (format, missing) = match (&self.extras, &self.relayed) {
            (extras, _) if *extras != Extras::default() => (FORMAT, 0),
            (_, relayed) if *relayed != Relayed::default() => (FORMAT_WITHOUT_EXTRAS, NO_EXTRAS.len()),
            _ => (FORMAT_WITHOUT_RELAY, NO_EXTRAS.len() + NOTHING_RELAYED.len()),
        };
        if let Some(first) = bytes.first_mut() {
            *first = format;
        }
        bytes.truncate(bytes.len().saturating_sub(missing));
        Ok(bytes)
    }
}

/// Whether a token with `claims` is newer than `stored`: by `iat`, or by `exp` if `iat` is missing or equal.
#[must_use]
pub fn is_newer(claims: &Claims, stored: &StoredIdToken) -> bool {
    match (claims.issued_at_seconds, stored.issued_at_seconds) {
        (Some(new), Some(old)) if new != old => new > old,
        _ => claims.exp_seconds > stored.exp_seconds,
    }
}

/// Whether a token with `claims` is older than `stored`, in the same order.
#[must_use]
pub fn is_older(claims: &Claims, stored: &StoredIdToken) -> bool {
    match (claims.issued_at_seconds, stored.issued_at_seconds) {
        (Some(new), Some(old)) if new != old => new < old,
        _ => claims.exp_seconds < stored.exp_seconds,
    }
}
