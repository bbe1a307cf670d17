//! Tokens seen before, with their claims: the same token comes with every request of a session, so it is decoded
//! once per worker and compared byte by byte afterwards.
//!
//! Bounded by two generations: when the young one is full it becomes the old one and the old one is dropped. No
//! list to keep in order, no scan, and a token in use moves back into the young generation.

use std::collections::HashMap;
use std::rc::Rc;

use tokenward_protocol::jwt::{Claims, Malformed};

use crate::identity::{PairKey, SessionSource, TicketKey};

/// Bytes of tokens that one generation may hold. A Dex token is about 1 KB, so about 2,000 of them.
const GENERATION_BYTES: usize = 2 * 1024 * 1024;
/// Tokens with the same tail kept side by side; only somebody who forges tails gets past one.
const BUCKET: usize = 4;
/// Uses (server × session) remembered per token.
const USES: usize = 64;

/// A token seen before.
#[derive(Debug)]
pub struct KnownToken {
    token: Box<[u8]>,
    /// What it says of itself.
    pub claims: Claims,
}

/// One use of a token: at one server, in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// Session × server.
    pub pair: PairKey,
    /// The token within the pair.
    pub ticket: TicketKey,
    /// Whether this worker has already told the pair's memory that this token is fresh (recovery is said once).
    pub settled: bool,
}

#[derive(Debug)]
struct Remembered {
    known: Rc<KnownToken>,
    uses: Vec<(usize, Box<[u8]>, TokenUse)>,
}

/// The memo of one worker.
#[derive(Debug, Default)]
pub struct TokenMemo {
    young: HashMap<u64, Vec<Remembered>>,
    old: HashMap<u64, Vec<Remembered>>,
    young_bytes: usize,
}

impl TokenMemo {
    /// The token's claims, decoded now or remembered.
    ///
    /// # Errors
    /// [`Malformed`]; such tokens are not remembered, decoding them again stops early.
    pub fn claims(&mut self, token: &[u8]) -> Result<Rc<KnownToken>, Malformed> {
        let tail = tail_of(token);
        if let Some(remembered) = self.find(tail, token) {
            return Ok(Rc::clone(&remembered.known));
        }
        let known = Rc::new(KnownToken {
            token: token.into(),
            claims: Claims::read(token)?,
        });
        self.insert(
            tail,
            Remembered {
                known: Rc::clone(&known),
                uses: Vec::new(),
            },
        );
        Ok(known)
    }

    /// The use of a token that [`Self::claims`] just returned, at the server with number `server` in the session
    /// `session` (a handle, or none for the token's own subject).
    pub fn token_use(
        &mut self,
        known: &KnownToken,
        server: (usize, &str),
        session: Option<&str>,
    ) -> TokenUse {
        let handle = session.unwrap_or_default();
        let fresh = || {
            let source = session.map_or(SessionSource::Subject(&known.claims), SessionSource::Handle);
            let pair = PairKey::new(server.1, source);
            TokenUse {
                ticket: TicketKey::new(&pair, &known.token),
                pair,
                settled: false,
            }
        };
        let Some(remembered) = self.find(tail_of(&known.token), &known.token) else {
            return fresh();
        };
        let known_use = remembered
            .uses
            .iter()
            .find(|(at, of, _)| *at == server.0 && **of == *handle.as_bytes());
        if let Some((_, _, token_use)) = known_use {
            return *token_use;
        }
        let token_use = fresh();
        if remembered.uses.len() >= USES {
            remembered.uses.clear();
        }
        remembered
            .uses
            .push((server.0, handle.as_bytes().into(), token_use));
        token_use
    }

    /// Notes that the pair's memory knows of this use's freshness.
    pub fn settle(&mut self, known: &KnownToken, ticket: &TicketKey) {
        if let Some(remembered) = self.find(tail_of(&known.token), &known.token) {
            for (_, _, token_use) in &mut remembered.uses {
                token_use.settled |= token_use.ticket == *ticket;
            }
        }
    }

    fn find(&mut self, tail: u64, token: &[u8]) -> Option<&mut Remembered> {
        let is_it = |remembered: &Remembered| *remembered.known.token == *token;
        if !self
            .young
            .get(&tail)
            .is_some_and(|bucket| bucket.iter().any(is_it))
        {
            let bucket = self.old.get_mut(&tail)?;
            let at = bucket.iter().position(is_it)?;
            let remembered = bucket.swap_remove(at);
            self.insert(tail, remembered);
        }
        self.young
            .get_mut(&tail)?
            .iter_mut()
            .find(|remembered| is_it(remembered))
    }

    fn insert(&mut self, tail: u64, remembered: Remembered) {
        let bytes = remembered.known.token.len();
        if self.young_bytes.saturating_add(bytes) > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let bucket = self.young.entry(tail).or_default();
        if bucket.len() >= BUCKET {
            let evicted = bucket.swap_remove(0);
            self.young_bytes = self.young_bytes.saturating_sub(evicted.known.token.len());
        }
        bucket.push(remembered);
        self.young_bytes = self.young_bytes.saturating_add(bytes);
    }
}

impl KnownToken {
    /// The token itself, as presented.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.token
    }
}

/// The last 8 bytes: the end of the signature, where two tokens differ if they differ at all.
fn tail_of(token: &[u8]) -> u64 {
    token
        .last_chunk::<8>()
        .map_or(0, |tail| u64::from_le_bytes(*tail))
}
