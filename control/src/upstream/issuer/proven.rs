//! Tokens that a set of keys has proven: the same stale token comes from every worker of every gateway, for every
//! server, and a signature is the dearest part of a question.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// More are not remembered; 40 bytes each.
const MOST: usize = 8192;

/// Belongs to one set of keys: a clone of the set, which may get other keys, begins with nothing proven.
#[derive(Default)]
pub(super) struct Proven(Mutex<HashMap<[u8; 32], Option<u64>>>);

impl Clone for Proven {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Proven {
    /// When the key that signed `token` was retired (Unix ms), if `token` is known to be signed by one of the set.
    pub(super) fn retirement(&self, token: &str) -> Option<Option<u64>> {
        let digest = digest(token);
        self.lock().get(&digest).copied()
    }

    /// `token` is signed by a key that was retired then.
    pub(super) fn remember(&self, token: &str, retired_at_ms: Option<u64>) {
        let digest = digest(token);
        let mut proven = self.lock();
        if proven.len() >= MOST {
            proven.clear();
        }
        proven.insert(digest, retired_at_ms);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Option<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of the whole token, its signature included.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
