//! The claims of tokens that were proven before: the same stale token is presented by every worker, for every server,
//! and reading its claims is a good part of what a question costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokenward_protocol::jwt::Claims;

/// More are not remembered.
const MOST: usize = 4096;
/// Nor larger ones: some hundred bytes each is what is meant.
const LARGEST_BYTES: usize = 2048;

/// By the SHA-256 of the whole token. What is read is a function of the token's bytes, so it is never out of date; whether
/// the token still proves anything is judged each time.
#[derive(Default)]
pub(super) struct Readings(Mutex<HashMap<TokenDigest, Arc<Claims>>>);

/// Names one token.
pub(super) type TokenDigest = [u8; 32];

/// Of the whole token, its signature included.
pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

impl Readings {
    /// The claims of a token that was remembered.
    pub(super) fn of(&self, token: &TokenDigest) -> Option<Arc<Claims>> {
        self.lock().get(token).cloned()
    }

    /// `claims` are those of a token that is proven. Who can prove nothing takes no room here.
    pub(super) fn remember(&self, token: TokenDigest, claims: &Arc<Claims>) {
        if size_bytes(claims) > LARGEST_BYTES {
            return;
        }
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(token, Arc::clone(claims));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenDigest, Arc<Claims>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_bytes(claims: &Claims) -> usize {
    /// A `String` itself.
    const TEXT_BYTES: usize = 24;
    let audiences = claims
        .audiences
        .iter()
        .map(|audience| audience.len() + TEXT_BYTES);
    claims.issuer.len() + claims.subject.len() + audiences.sum::<usize>()
}
