//! The identity of a request: digests of the pair (session × server) and of the one presented token within it.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};
use tokenward_protocol::pair::first_half;
pub use tokenward_protocol::pair::{PairKey, SessionSource, TokenSubject};

/// The digest of a `sub`, for comparing it with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectDigest([u8; 32]);

impl SubjectDigest {
    /// The digest of `subject`.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        Self(Sha256::digest(subject.as_bytes()).into())
    }
}

/// One presented token within a pair: the unit of gating and of replacing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenKey([u8; 32]);

impl Hash for TokenKey {
    /// A part of the digest is a sufficient hash.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl TokenKey {
    /// The key of `token` presented within `pair`.
    #[must_use]
    pub fn new(pair: &PairKey, token: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(pair.bytes());
        digest.update(token);
        Self(digest.finalize().into())
    }

    /// The half of the digest that the shared-data format stores.
    #[must_use]
    pub fn gate_bytes(&self) -> [u8; 16] {
        first_half(&self.0)
    }
}
