//! Cache of presented tokens whose signature has been verified. Every worker of every gateway presents the same stale
//! token for every server; verifying and parsing it are the most expensive steps of a token request.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokenward_protocol::jwt::Claims;

use super::token_type::IdTokenProfile;
use crate::digest;

/// Entries; the cache is emptied when it is full. An entry without its parsed token takes about 70 bytes.
const MAX_TOKENS: usize = 8192;
/// All parsed tokens together, in bytes.
const MAX_PARSED_BYTES: usize = 8 * 1024 * 1024;
/// One parsed token, in bytes; most take a few hundred. A larger one is parsed for each request.
const MAX_PARSED_BYTES_EACH: usize = 2048;

/// Digest of a whole token, its signature included: the cache key, and the fingerprint that records store. It is
/// computed once per request and passed along.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; digest::BYTES]);

impl TokenDigest {
    /// Hashes `token`.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(digest::of_parts(&["token", token]))
    }

    /// 64 lower-case hex digits, as [`fingerprint`](crate::upstream::grant::record::fingerprint) returns them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        digest::hex(&self.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(digest::short(&self.fingerprint()))
    }
}

/// Identifies one state of one issuer's known keys. A proof holds for the version that it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KeySetVersion(u64);

impl KeySetVersion {
    /// A version that no other key set of the process has. The default version is that of a set without keys, which
    /// proves nothing.
    pub(super) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The verified signature of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignatureProof {
    /// The keys that were known at the time.
    pub(super) key_set: KeySetVersion,
    /// When the signing key was retired, Unix ms; `None` while the issuer publishes it.
    pub(super) retired_at_ms: Option<u64>,
}

/// A parsed ID token. A pure function of the token's bytes, so it never expires; times, audiences and sessions are
/// checked for each request.
#[derive(Debug)]
pub struct ParsedIdToken {
    /// The claims that every ID token has.
    pub claims: Claims,
    /// The claims and header members that decide whether the token is an ID token for a configured client.
    pub profile: IdTokenProfile,
}

/// The tokens whose signature was verified, of all issuers of a configuration.
#[derive(Default)]
pub struct ProvenTokens(Mutex<Table>);

#[derive(Default)]
struct Table {
    tokens: HashMap<TokenDigest, Entry>,
    parsed_bytes: usize,
}

struct Entry {
    proof: SignatureProof,
    parsed: Option<Arc<ParsedIdToken>>,
}

impl ProvenTokens {
    /// The parsed form of a token that was proven before. The token may no longer prove anything: its proof is checked
    /// against the keys of the day.
    #[must_use]
    pub fn parsed(&self, token: &TokenDigest) -> Option<Arc<ParsedIdToken>> {
        self.table().tokens.get(token)?.parsed.clone()
    }

    /// Stores the parsed form of a proven token. A token that is not in the cache gets no entry: a caller that proves
    /// nothing takes no memory here.
    pub fn store_parsed(&self, token: &TokenDigest, parsed: &Arc<ParsedIdToken>) {
        let bytes = parsed_bytes(parsed);
        if bytes > MAX_PARSED_BYTES_EACH {
            return;
        }
        let mut table = self.table();
        if table.parsed_bytes.saturating_add(bytes) > MAX_PARSED_BYTES {
            *table = Table::default();
            return;
        }
        let Some(entry) = table.tokens.get_mut(token) else {
            return;
        };
        if entry.parsed.replace(Arc::clone(parsed)).is_none() {
            table.parsed_bytes += bytes;
        }
    }

    /// The proof of a token, if `key_set` has verified it before.
    pub(super) fn proof(&self, token: &TokenDigest, key_set: KeySetVersion) -> Option<SignatureProof> {
        let proof = self.table().tokens.get(token)?.proof;
        (proof.key_set == key_set).then_some(proof)
    }

    /// Stores the proof of a token, in place of one by other keys.
    pub(super) fn store_proof(&self, token: TokenDigest, proof: SignatureProof) {
        let mut table = self.table();
        if let Some(entry) = table.tokens.get_mut(&token) {
            entry.proof = proof;
            return;
        }
        if table.tokens.len() >= MAX_TOKENS {
            *table = Table::default();
        }
        table.tokens.insert(token, Entry { proof, parsed: None });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Heap bytes of a parsed token: an upper bound for the ordinary one, since most strings are stored exactly.
fn parsed_bytes(parsed: &ParsedIdToken) -> usize {
    /// A `String` itself.
    const TEXT_BYTES: usize = 24;
    let ParsedIdToken { claims, profile } = parsed;
    let audiences = claims
        .audiences
        .iter()
        .map(|audience| audience.len() + TEXT_BYTES);
    let optional = [&profile.authorized_party, &profile.session_id];
    let optional = optional.into_iter().flatten().map(String::len);
    claims.issuer.len() + claims.subject.len() + audiences.sum::<usize>() + optional.sum::<usize>()
}
