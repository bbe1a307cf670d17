//! Fresh tokens from control, per (session, server, presented token). None is used past `exp − margin`.

use std::fmt;
use std::rc::Rc;

use crate::digest_map::DigestMap;
use crate::identity::TokenKey;

/// Bytes of tokens that the cache may hold, however many they are.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A fresh token to put in place of the presented one.
#[derive(Clone)]
pub struct Replacement {
    /// `Bearer …`, ready for the header.
    pub authorization: Rc<str>,
    /// The token's `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// [`crate::config::Server::number`] of the server that it is for.
    pub server: usize,
}

impl fmt::Debug for Replacement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Replacement")
            .field("exp_seconds", &self.exp_seconds)
            .finish_non_exhaustive()
    }
}

/// The replacements of one worker, in two generations like the token memo: bounded without a scan.
#[derive(Debug)]
pub struct Replacements {
    young: DigestMap<TokenKey, Replacement>,
    old: DigestMap<TokenKey, Replacement>,
    young_bytes: usize,
    most: usize,
}

impl Replacements {
    /// A cache of at most `most` tokens (at least 2).
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            young: DigestMap::default(),
            old: DigestMap::default(),
            young_bytes: 0,
            most: most.max(2),
        }
    }

    /// The replacement for a token, fresh or not: the decision judges it.
    pub fn get(&mut self, token_key: &TokenKey) -> Option<Replacement> {
        if let Some(replacement) = self.young.get(token_key) {
            return Some(replacement.clone());
        }
        let replacement = self.old.remove(token_key)?;
        self.insert(*token_key, replacement.clone());
        Some(replacement)
    }

    /// Stores `replacement` for a token.
    pub fn insert(&mut self, token_key: TokenKey, replacement: Replacement) {
        let bytes = replacement.authorization.len();
        let full = self.young.len() >= self.most.div_euclid(2);
        if full || self.young_bytes.saturating_add(bytes) > MOST_BYTES.div_euclid(2) {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&token_key);
        if let Some(before) = self.young.insert(token_key, replacement) {
            self.young_bytes = self.young_bytes.saturating_sub(before.authorization.len());
        }
        self.young_bytes = self.young_bytes.saturating_add(bytes);
    }

    /// Removes the replacement for a token.
    pub fn remove(&mut self, token_key: &TokenKey) {
        self.old.remove(token_key);
        if let Some(before) = self.young.remove(token_key) {
            self.young_bytes = self.young_bytes.saturating_sub(before.authorization.len());
        }
    }

    /// Removes the replacements for these servers (numbers in ascending order).
    pub(crate) fn remove_servers(&mut self, numbers: &[usize]) {
        let mut is_kept = |_: &TokenKey, kept: &mut Replacement| numbers.binary_search(&kept.server).is_err();
        self.old.retain(&mut is_kept);
        self.young.retain(is_kept);
        let bytes = self.young.values().map(|young| young.authorization.len());
        self.young_bytes = bytes.sum();
    }

    /// Tokens held now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len().saturating_add(self.old.len())
    }

    /// Bytes of their texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let both = self.young.values().chain(self.old.values());
        both.map(|held| held.authorization.len())
            .fold(0, usize::saturating_add)
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
