//! What a sign-out ended, as a digest: neither users nor session handles reach Envoy's shared memory.

use sha2::{Digest, Sha256};

/// [`SignOut::last_second`] of what is ended whenever its token was issued: a rejected signing key.
pub const ALWAYS: u32 = u32::MAX;
/// [`SignOut::last_second`] of what is no longer ended: the session handle was registered again.
pub const LIFTED: u32 = 0;

/// The digest of something whose tokens can end: 64 bits of SHA-256. A collision refuses a token that is good until its user
/// logs in again; among 10⁵ entries it has a chance of 10⁵ in 2⁶⁴ for each token, and an attacker who wants one for a
/// given user must find a second preimage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndedDigest(pub u64);

impl EndedDigest {
    /// All tokens of a user: `iss` and `sub`.
    #[must_use]
    pub fn user(issuer: &str, subject: &str) -> Self {
        Self::of(b'u', issuer, subject)
    }

    /// The tokens of one session at the issuer: `iss` and the ID token's `sid` (OpenID Connect Back-Channel Logout §2.1).
    #[must_use]
    pub fn issuer_session(issuer: &str, sid: &str) -> Self {
        Self::of(b'i', issuer, sid)
    }

    /// Whatever is presented in one session: the aggregator's handle, or the `sid` of an access token of our own.
    ///
    /// It is a part of the digest under which control stores the session, so that control can state it without the handle.
    #[must_use]
    pub fn session(handle: &str) -> Self {
        let mut hasher = Sha256::new();
        for part in ["session", handle] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hasher.update(length.to_be_bytes());
            hasher.update(part);
        }
        Self::of_session_digest(&hasher.finalize().into())
    }

    /// [`EndedDigest::session`] of the handle with this digest: the SHA-256 of `session` and the handle, each after its
    /// length in eight bytes, big endian.
    #[must_use]
    pub fn of_session_digest(digest: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *digest;
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    /// The tokens that name a signing key: `iss` and the header's `kid`.
    #[must_use]
    pub fn signing_key(issuer: &str, key_id: &str) -> Self {
        Self::of(b'k', issuer, key_id)
    }

    fn of(kind: u8, first: &str, second: &str) -> Self {
        let length = u64::try_from(first.len()).unwrap_or(u64::MAX);
        // The length first, so that no two pairs of texts look alike.
        let digest = Sha256::new()
            .chain_update([kind])
            .chain_update(length.to_le_bytes())
            .chain_update(first)
            .chain_update(second)
            .finalize();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest);
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// One entry of the sign-out log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignOut {
    /// What ended.
    pub ended: EndedDigest,
    /// The last second (Unix time, by the issuer's clock) whose tokens ended: a token with a later `iat` is of a new login.
    /// A token without `iat` ended too. [`ALWAYS`] and [`LIFTED`] are the extremes.
    pub last_second: u32,
}

impl SignOut {
    /// Whether it ended a token with this `iat`.
    #[must_use]
    pub fn covers(&self, issued_at_seconds: Option<u64>) -> bool {
        match self.last_second {
            LIFTED => false,
            ALWAYS => true,
            last => issued_at_seconds.is_none_or(|seconds| seconds <= u64::from(last)),
        }
    }
}
