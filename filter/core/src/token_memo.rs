//! Tokens seen before, with their claims: the same token comes with every request of a session, so it is decoded
//! once per worker and compared byte by byte afterwards.
//!
//! Only what decides is kept of the claims: audiences that no server requires are dropped when the token is read, and
//! whose token it is is a digest. What a request that waits for its server needs of its token is a [`TokenHandle`], which
//! pins nothing here.
//!
//! Bounded by two generations: when the young one is full it becomes the old one and the old one is dropped. No
//! list to keep in order, no scan, and a token in use moves back into the young generation.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::jwt::{Claims, Malformed};

use crate::config::RequiredAudiences;
use crate::digest_map::DigestMap;
use crate::identity::{PairKey, SessionSource, SubjectDigest, TokenKey, TokenSubject};

/// Bytes that one generation may hold: about 2,000 tokens as Dex makes them (1 KB), each used at a few servers.
const GENERATION_BYTES: usize = 5 * 1024 * 1024;
/// What a token costs besides its text and claims, and what one of its uses costs besides the session's handle: rather
/// too much than too little, for clients choose both.
const TOKEN_BYTES: usize = 256;
const USE_BYTES: usize = 160;
/// What one kept audience costs besides its text.
const AUDIENCE_BYTES: usize = 40;
/// Tokens with the same tail kept side by side; only somebody who forges tails gets past one.
const BUCKET: usize = 4;
/// Uses (server × session) remembered per token.
const USES: usize = 64;

/// A token seen before.
pub struct KnownToken {
    token: Box<[u8]>,
    /// What it says of itself, as far as it decides: `audiences` are those that some server requires, each once, and
    /// `subject` is empty.
    pub claims: Claims,
    owner: TokenSubject,
    /// Digest of its `sub`.
    pub subject: SubjectDigest,
    was_stale: Cell<bool>,
}

impl fmt::Debug for KnownToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        formatter
            .debug_struct("KnownToken")
            .field("exp_seconds", &self.claims.exp_seconds)
            .finish_non_exhaustive()
    }
}

/// Names a token that this memo may still have: a few bytes that may be kept for as long as a request lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHandle(u64);

/// One use of a token: at one server, in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// Session × server.
    pub pair: PairKey,
    /// The token within the pair.
    pub token_key: TokenKey,
    /// Until this moment (Unix ms) the pair's memory need not be told that this token is fresh: refusals of other
    /// requests of the pair may come in between, so it is told again once in a while.
    pub settled_until_ms: u64,
}

#[derive(Debug)]
struct Remembered {
    known: Rc<KnownToken>,
    uses: Vec<(usize, Box<[u8]>, TokenUse)>,
    /// What it costs, uses included.
    bytes: usize,
}

/// The memo of one worker.
#[derive(Debug, Default)]
pub struct TokenMemo {
    required: RequiredAudiences,
    young: DigestMap<u64, Vec<Remembered>>,
    old: DigestMap<u64, Vec<Remembered>>,
    young_bytes: usize,
}

impl TokenMemo {
    /// An empty memo that keeps, of each token's audiences, those that are `required` somewhere.
    #[must_use]
    pub fn new(required: RequiredAudiences) -> Self {
        Self {
            required,
            ..Self::default()
        }
    }

    /// The token, decoded now or remembered, and its use at the server with this number and name in this session (a
    /// handle, or none for the token's own subject).
    ///
    /// # Errors
    /// [`Malformed`]; such tokens are not remembered, decoding them again stops early.
    pub fn look_up(
        &mut self,
        token: &[u8],
        server: (usize, &str),
        session: Option<&str>,
    ) -> Result<(Rc<KnownToken>, TokenUse), Malformed> {
        let tail = tail_of(token);
        if let Some(found) = self.young_use(tail, token, server, session) {
            return Ok(found);
        }
        if self.bring_back(tail, token)
            && let Some(found) = self.young_use(tail, token, server, session)
        {
            return Ok(found);
        }
        let known = Rc::new(KnownToken::read(token, &self.required)?);
        let mut remembered = Remembered {
            bytes: known.cost_bytes(),
            known: Rc::clone(&known),
            uses: Vec::new(),
        };
        let token_use = remembered.use_at(server, session);
        self.insert(tail, remembered);
        Ok((known, token_use))
    }

    /// The token that `handle` names if it was used under `ticket`, and the session handle with which it came (none when the token's own subject is
    /// the session); `None` when it is forgotten.
    #[must_use]
    pub fn named(
        &self,
        handle: TokenHandle,
        token_key: &TokenKey,
    ) -> Option<(Rc<KnownToken>, Option<String>)> {
        let buckets = [self.young.get(&handle.0), self.old.get(&handle.0)];
        buckets.into_iter().flatten().flatten().find_map(|remembered| {
            let mut uses = remembered.uses.iter();
            let (_, session, _) = uses.find(|(_, _, token_use)| token_use.token_key == *token_key)?;
            let session = String::from_utf8_lossy(session).into_owned();
            Some((
                Rc::clone(&remembered.known),
                Some(session).filter(|session| !session.is_empty()),
            ))
        })
    }

    /// Notes that the pair's memory knows of this use's freshness and need not be told again before `until_ms`.
    pub fn settle(&mut self, known: &KnownToken, token_key: &TokenKey, until_ms: u64) {
        let tail = tail_of(&known.token);
        let is_young = of_bucket(self.young.get_mut(&tail), &known.token).is_some();
        if !is_young {
            self.bring_back(tail, &known.token);
        }
        if let Some(remembered) = of_bucket(self.young.get_mut(&tail), &known.token) {
            let uses = remembered.uses.iter_mut().map(|(_, _, token_use)| token_use);
            for token_use in uses.filter(|token_use| token_use.token_key == *token_key) {
                token_use.settled_until_ms = until_ms;
            }
        }
    }

    /// The token and its use, if it is of the young generation: what nearly every request asks for, in one look-up.
    fn young_use(
        &mut self,
        tail: u64,
        token: &[u8],
        server: (usize, &str),
        session: Option<&str>,
    ) -> Option<(Rc<KnownToken>, TokenUse)> {
        let remembered = of_bucket(self.young.get_mut(&tail), token)?;
        let before = remembered.bytes;
        let token_use = remembered.use_at(server, session);
        let (known, after) = (Rc::clone(&remembered.known), remembered.bytes);
        self.weigh_anew(before, after);
        Some((known, token_use))
    }

    /// Moves a token of the old generation into the young one. Whether it was there.
    fn bring_back(&mut self, tail: u64, token: &[u8]) -> bool {
        let bucket = self.old.get_mut(&tail);
        let remembered = bucket.and_then(|bucket| {
            let at = bucket.iter().position(|remembered| remembered.is(token))?;
            Some(bucket.swap_remove(at))
        });
        let was_there = remembered.is_some();
        if let Some(remembered) = remembered {
            self.insert(tail, remembered);
        }
        was_there
    }

    /// A token of the young generation costs another number of bytes now.
    fn weigh_anew(&mut self, before: usize, after: usize) {
        if before != after {
            self.young_bytes = self.young_bytes.saturating_sub(before).saturating_add(after);
            self.make_room(0);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        if self.young_bytes.saturating_add(bytes) > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    fn insert(&mut self, tail: u64, remembered: Remembered) {
        let bytes = remembered.bytes;
        self.make_room(bytes);
        let bucket = self.young.entry(tail).or_default();
        if bucket.len() >= BUCKET {
            let evicted = bucket.swap_remove(0);
            self.young_bytes = self.young_bytes.saturating_sub(evicted.bytes);
        }
        bucket.push(remembered);
        self.young_bytes = self.young_bytes.saturating_add(bytes);
    }
}

impl Remembered {
    fn is(&self, token: &[u8]) -> bool {
        same_bytes(&self.known.token, token)
    }

    fn use_at(&mut self, (number, name): (usize, &str), session: Option<&str>) -> TokenUse {
        let handle = session.unwrap_or_default().as_bytes();
        if let Some((_, _, token_use)) = self
            .uses
            .iter()
            .find(|(at, of, _)| *at == number && same_bytes(of, handle))
        {
            return *token_use;
        }
        let source = session.map_or(SessionSource::Subject(&self.known.owner), SessionSource::Handle);
        let pair = PairKey::new(name, source);
        let token_use = TokenUse {
            token_key: TokenKey::new(&pair, &self.known.token),
            pair,
            settled_until_ms: 0,
        };
        if self.uses.len() >= USES {
            self.uses.clear();
            self.bytes = self.known.cost_bytes();
        }
        self.uses.push((number, handle.into(), token_use));
        self.bytes = self.bytes.saturating_add(USE_BYTES).saturating_add(handle.len());
        token_use
    }
}

fn of_bucket<'a>(bucket: Option<&'a mut Vec<Remembered>>, token: &[u8]) -> Option<&'a mut Remembered> {
    bucket?.iter_mut().find(|remembered| remembered.is(token))
}

impl KnownToken {
    /// Reads a token, and keeps of its claims what decides.
    fn read(token: &[u8], required: &RequiredAudiences) -> Result<Self, Malformed> {
        let mut claims = Claims::read(token)?;
        let owner = TokenSubject::new(&claims);
        let subject = SubjectDigest::new(&std::mem::take(&mut claims.subject));
        claims.audiences = required.among(std::mem::take(&mut claims.audiences));
        Ok(Self {
            token: token.into(),
            claims,
            owner,
            subject,
            was_stale: Cell::new(false),
        })
    }

    /// Bytes that keeping it takes, rather too many than too few.
    #[must_use]
    pub fn cost_bytes(&self) -> usize {
        let audiences = self.claims.audiences.iter();
        let audiences = audiences.map(|audience| audience.len().saturating_add(AUDIENCE_BYTES));
        let texts = [self.token.len(), self.claims.issuer.len(), TOKEN_BYTES].into_iter();
        texts.chain(audiences).fold(0, usize::saturating_add)
    }

    /// What a request keeps of it when it has gone to its server.
    #[must_use]
    pub fn handle(&self) -> TokenHandle {
        TokenHandle(tail_of(&self.token))
    }

    /// The token itself, as presented: a secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.token
    }

    /// Whether this worker has judged it stale before. Time does not run backwards: a clock that now calls it fresh
    /// was wrong then or is wrong now, and which of the two cannot be told here.
    #[must_use]
    pub fn was_stale(&self) -> bool {
        self.was_stale.get()
    }

    /// It has been judged stale.
    pub fn mark_stale(&self) {
        self.was_stale.set(true);
    }
}

/// The last 8 bytes: the end of the signature, where two tokens differ if they differ at all.
fn tail_of(token: &[u8]) -> u64 {
    token
        .last_chunk::<8>()
        .map_or(0, |tail| u64::from_le_bytes(*tail))
}
