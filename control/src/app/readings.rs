//! What tokens that were proven before say: the same stale token is presented by every worker, for every server, and
//! reading it is a good part of what a question costs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokenward_protocol::jwt::Claims;

use crate::upstream::issuer::token_type::IdTokenProfile;

/// More are not remembered.
const MOST: usize = 4096;
/// Nor larger ones: some hundred bytes each is what is meant.
const LARGEST_BYTES: usize = 2048;

/// What an ID token says.
#[derive(Debug)]
pub(super) struct Reading {
    /// What every ID token says.
    pub(super) claims: Claims,
    /// What else decides whether it counts.
    pub(super) profile: IdTokenProfile,
}

/// By the SHA-256 of the whole token. What is read is a function of the token's bytes, so it is never out of date; whether
/// the token still proves anything is judged each time.
#[derive(Default)]
pub(super) struct Readings(Mutex<HashMap<TokenDigest, Arc<Reading>>>);

/// Names one token.
pub(super) type TokenDigest = [u8; 32];

/// Of the whole token, its signature included.
pub(super) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

impl Readings {
    /// What a token says that was remembered.
    pub(super) fn of(&self, token: &TokenDigest) -> Option<Arc<Reading>> {
        self.lock().get(token).cloned()
    }

    /// `reading` is that of a token that is proven. A caller that proves nothing takes no room here.
    pub(super) fn remember(&self, token: TokenDigest, reading: &Arc<Reading>) {
        if size_bytes(reading) > LARGEST_BYTES {
            return;
        }
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(token, Arc::clone(reading));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenDigest, Arc<Reading>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size_bytes(reading: &Reading) -> usize {
    /// A `String` itself.
    const TEXT_BYTES: usize = 24;
    let Reading { claims, profile } = reading;
    let audiences = claims
        .audiences
        .iter()
        .map(|audience| audience.len() + TEXT_BYTES);
    let own = [&profile.authorized_party, &profile.session_id];
    let own = own.into_iter().flatten().map(String::len);
    claims.issuer.len() + claims.subject.len() + audiences.sum::<usize>() + own.sum::<usize>()
}
