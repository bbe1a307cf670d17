//! The digest of a pair: session × server. The filter's log lines, control's and the console name a pair by it, so both
//! compute it here.
//!
//! Only digests reach shared data and logs, never the handle or the token. They are SHA-256, because a client that could
//! make two sessions share a digest could silence or refuse another client's.

use sha2::{Digest, Sha256};

use crate::jwt::Claims;
use crate::refusal::Refusal;

/// Where a pair's session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionSource<'a> {
    /// A session handle that the aggregator sent.
    Handle(&'a str),
    /// The subject of the presented token, so that an unmodified aggregator works too.
    Subject(&'a TokenSubject),
    /// Neither: a request without a readable token. All of them at one server share one pair, whatever handle they name.
    Anonymous,
    /// No session: log lines about the worker or the whole Envoy, one pair for each server and reason.
    Overload(Refusal),
}

/// Owner and audience of a token: the digest of `iss`, `sub` and every `aud`, or of the session that the token itself names. A
/// client chooses how long these are, so only their digest is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSubject([u8; 32]);

impl TokenSubject {
    /// The subject of a token with these claims. For an access token of control's own authorization server, `subject` must be
    /// its session ([`crate::jwt::session_of`]) and `audiences` empty: all access tokens of one login are of one owner.
    #[must_use]
    pub fn new(claims: &Claims) -> Self {
        let mut digest = Sha256::new();
        add(&mut digest, claims.issuer.as_bytes());
        add(&mut digest, claims.subject.as_bytes());
        for audience in &claims.audiences {
            add(&mut digest, audience.as_bytes());
        }
        Self(digest.finalize().into())
    }
}

/// The pair: session × server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairKey([u8; 16]);

impl core::hash::Hash for PairKey {
    /// A part of the digest is a sufficient hash.
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl PairKey {
    /// The pair of a server's name and a session.
    #[must_use]
    pub fn new(server: &str, session: SessionSource<'_>) -> Self {
        let mut digest = Sha256::new();
        add(&mut digest, server.as_bytes());
        match session {
            SessionSource::Handle(handle) => {
                digest.update(b"h");
                add(&mut digest, handle.as_bytes());
            }
            SessionSource::Subject(subject) => {
                digest.update(b"s");
                digest.update(subject.0);
            }
            SessionSource::Anonymous => digest.update(b"a"),
            SessionSource::Overload(refusal) => digest.update([b'o', refusal.code()]),
        }
        Self(first_half(&digest.finalize().into()))
    }

    /// The 16 bytes of the digest.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A short form for log lines: eight hexadecimal digits.
    #[must_use]
    pub fn short(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

fn add(digest: &mut Sha256, part: &[u8]) {
    // The length first, so that no two lists of parts look alike.
    digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
    digest.update(part);
}

/// The half of a digest that is stored where space is scarce.
#[must_use]
pub fn first_half(digest: &[u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(digest) {
        *to = *from;
    }
    half
}
