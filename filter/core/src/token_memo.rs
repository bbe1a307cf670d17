//! Tokens seen before, with their claims: the same token comes with every request of a session, so each worker decodes it
//! once and compares all of its bytes afterwards.
//!
//! The memo stores only the claims that decide: it drops audiences that no server requires, and stores the owner as a
//! digest. A request that waits for its server refers to its token by a [`TokenHandle`], which pins nothing here.
//!
//! Two generations bound the memo: when the young one is full it becomes the old one and the old one is dropped. That needs
//! no ordered list and no scan, and a token in use moves back into the young generation.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::filter_state::EndedDigest;
use tokenward_protocol::jwt::{Claims, Malformed};

use crate::config::{AuthorizationServer, RequiredAudiences};
use crate::digest_map::DigestMap;
use crate::identity::{PairKey, SessionSource, SubjectDigest, TokenKey, TokenSubject};

/// Bytes that one generation may hold: about 2,000 tokens as Dex makes them (1 KB), each used at a few servers.
const GENERATION_BYTES: usize = 5 * 1024 * 1024;
/// What a token costs besides its text and claims, and what one of its uses costs besides the session's handle. Estimated
/// rather too high than too low, because clients choose both.
const TOKEN_BYTES: usize = 304;
const USE_BYTES: usize = 160;
/// What one stored audience costs besides its text.
const AUDIENCE_BYTES: usize = 40;
/// Tokens with the same tail in one bucket; only forged tails need more than one.
const BUCKET: usize = 4;
/// Uses (server × session) stored per token.
const USES: usize = 64;

/// A token seen before.
pub struct KnownToken {
    token: Box<[u8]>,
    /// The claims that decide: `audiences` are those that some server requires, each once, and `subject` is empty.
    pub claims: Claims,
    owner: TokenSubject,
    /// Digest of its `sub`.
    pub subject: SubjectDigest,
    /// Whether control's own authorization server issued it.
    pub(crate) is_own: bool,
    /// What ends it before it expires: its user, the session and the signing key that it names.
    pub(crate) endings: [Option<EndedDigest>; 3],
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

/// Refers to a token that the memo may still hold: a few bytes that a request can store for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHandle(u64);

/// One use of a token: at one server, in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// Session × server.
    pub pair: PairKey,
    /// The token within the pair.
    pub token_key: TokenKey,
    /// Until this moment (Unix ms) the success of this token need not be written to the pair's record again. Other requests
    /// of the pair may be refused in between, so it is written once in a while.
    pub settled_until_ms: u64,
    /// The session whose end ends this use, where a handle names it.
    pub(crate) session: Option<EndedDigest>,
    /// The servers and sign-outs (their number, from 1) by which this use fits its server and has not ended.
    pub(crate) checked_at: u32,
}

#[derive(Debug)]
struct MemoEntry {
    known: Rc<KnownToken>,
    uses: Vec<(usize, Box<[u8]>, TokenUse)>,
    /// Bytes that it costs, uses included.
    bytes: usize,
}

/// The memo of one worker.
#[derive(Debug, Default)]
pub struct TokenMemo {
    required: RequiredAudiences,
    authorization_server: Option<AuthorizationServer>,
    young: DigestMap<u64, Vec<MemoEntry>>,
    old: DigestMap<u64, Vec<MemoEntry>>,
    young_bytes: usize,
}

impl TokenMemo {
    /// An empty memo that stores, of each token's audiences, those that are `required` somewhere, and knows the tokens of
    /// `authorization_server`.
    #[must_use]
    pub(crate) fn new(
        required: RequiredAudiences,
        authorization_server: Option<AuthorizationServer>,
    ) -> Self {
        Self {
            required,
            authorization_server,
            ..Self::default()
        }
    }

    /// The token, decoded now or before, and its use at the server with this number and name in this session (a handle, or
    /// none for the token's own subject). An access token of our own names its session itself, and no handle counts.
    ///
    /// # Errors
    /// [`Malformed`]; such tokens are not stored, decoding them again stops early.
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
        if self.promote(tail, token)
            && let Some(found) = self.young_use(tail, token, server, session)
        {
            return Ok(found);
        }
        let known = Rc::new(self.read(token)?);
        let mut entry = MemoEntry {
            bytes: known.cost_bytes(),
            known: Rc::clone(&known),
            uses: Vec::new(),
        };
        let token_use = entry.use_at(server, session);
        self.insert(tail, entry);
        Ok((known, token_use))
    }

    /// The token that `handle` refers to, if it was used under this key, and the session handle that came with it (none when
    /// the token's own subject is the session); `None` when the memo has dropped it.
    #[must_use]
    pub(crate) fn named(
        &self,
        handle: TokenHandle,
        token_key: &TokenKey,
    ) -> Option<(Rc<KnownToken>, Option<String>)> {
        let buckets = [self.young.get(&handle.0), self.old.get(&handle.0)];
        buckets.into_iter().flatten().flatten().find_map(|entry| {
            let mut uses = entry.uses.iter();
            let (_, session, _) = uses.find(|(_, _, token_use)| token_use.token_key == *token_key)?;
            let session = std::str::from_utf8(session).unwrap_or_default();
            Some((
                Rc::clone(&entry.known),
                Some(session.to_owned()).filter(|session| !session.is_empty()),
            ))
        })
    }

    /// Tokens that it holds, and their bytes by the estimate that bounds them.
    pub(crate) fn held(&self) -> (usize, usize) {
        let both = self.young.values().chain(self.old.values());
        let bytes = both.flatten().map(|entry| entry.bytes);
        (bytes.clone().count(), bytes.fold(0, usize::saturating_add))
    }

    /// Reads a token and the claims that decide.
    fn read(&self, token: &[u8]) -> Result<KnownToken, Malformed> {
        let (mut claims, endings) = Claims::read_with_endings(token)?;
        let own = self.authorization_server.as_ref();
        let is_own = own.is_some_and(|own| own.is_issuer(&claims.issuer));
        let subject = SubjectDigest::new(&claims.subject);
        let issuer = claims.issuer.as_str();
        let named_session = endings.session.as_deref().map(|session| match is_own {
            true => EndedDigest::session(session),
            false => EndedDigest::issuer_session(issuer, session),
        });
        let key_id = endings.key_id.as_deref();
        let signing_key = key_id.map(|key_id| EndedDigest::signing_key(issuer, key_id));
        let user = Some(EndedDigest::user(issuer, &claims.subject));
        let mut audiences = Vec::new();
        if is_own {
            // All access tokens of one login are of one owner: its session.
            claims.subject = endings.session.ok_or(Malformed::Payload)?;
            std::mem::swap(&mut audiences, &mut claims.audiences);
        }
        let owner = TokenSubject::new(&claims);
        claims.subject = String::new();
        audiences.append(&mut claims.audiences);
        claims.audiences = self.required.among(audiences);
        Ok(KnownToken {
            token: token.into(),
            claims,
            owner,
            subject,
            is_own,
            endings: [user, named_session, signing_key],
            was_stale: Cell::new(false),
        })
    }

    /// Marks this use's success as written to the pair's record; it need not be written again before `until_ms`.
    pub fn settle(&mut self, known: &KnownToken, token_key: &TokenKey, until_ms: u64) {
        self.change_use(known, token_key, &mut |token_use| {
            token_use.settled_until_ms = until_ms;
        });
    }

    /// Marks this use as checked by the servers and sign-outs with this number.
    pub(crate) fn note_checked(&mut self, known: &KnownToken, token_key: &TokenKey, edition: u32) {
        self.change_use(known, token_key, &mut |token_use| token_use.checked_at = edition);
    }

    #[inline(never)]
    fn change_use(
        &mut self,
        known: &KnownToken,
        token_key: &TokenKey,
        change: &mut dyn FnMut(&mut TokenUse),
    ) {
        let tail = tail_of(&known.token);
        let is_young = of_bucket(self.young.get_mut(&tail), &known.token).is_some();
        if !is_young {
            self.promote(tail, &known.token);
        }
        if let Some(entry) = of_bucket(self.young.get_mut(&tail), &known.token) {
            let uses = entry.uses.iter_mut().map(|(_, _, token_use)| token_use);
            for token_use in uses.filter(|token_use| token_use.token_key == *token_key) {
                change(token_use);
            }
        }
    }

    /// The token and its use, if it is of the young generation: what nearly every request needs, in one look-up.
    fn young_use(
        &mut self,
        tail: u64,
        token: &[u8],
        server: (usize, &str),
        session: Option<&str>,
    ) -> Option<(Rc<KnownToken>, TokenUse)> {
        let entry = of_bucket(self.young.get_mut(&tail), token)?;
        let before = entry.bytes;
        let token_use = entry.use_at(server, session);
        let (known, after) = (Rc::clone(&entry.known), entry.bytes);
        self.adjust_bytes(before, after);
        Some((known, token_use))
    }

    /// Moves a token of the old generation into the young one. Whether it was there.
    fn promote(&mut self, tail: u64, token: &[u8]) -> bool {
        let bucket = self.old.get_mut(&tail);
        let entry = bucket.and_then(|bucket| {
            let at = bucket.iter().position(|entry| entry.is(token))?;
            Some(bucket.swap_remove(at))
        });
        let was_there = entry.is_some();
        if let Some(entry) = entry {
            self.insert(tail, entry);
        }
        was_there
    }

    /// A token of the young generation has another cost now.
    fn adjust_bytes(&mut self, before: usize, after: usize) {
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

    fn insert(&mut self, tail: u64, entry: MemoEntry) {
        let bytes = entry.bytes;
        self.make_room(bytes);
        let bucket = self.young.entry(tail).or_default();
        if bucket.len() >= BUCKET {
            let evicted = bucket.swap_remove(0);
            self.young_bytes = self.young_bytes.saturating_sub(evicted.bytes);
        }
        bucket.push(entry);
        self.young_bytes = self.young_bytes.saturating_add(bytes);
    }
}

impl MemoEntry {
    fn is(&self, token: &[u8]) -> bool {
        same_bytes(&self.known.token, token)
    }

    fn use_at(&mut self, (number, name): (usize, &str), session: Option<&str>) -> TokenUse {
        let session = session.filter(|_| !self.known.is_own);
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
            session: session.map(EndedDigest::session),
            checked_at: 0,
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

fn of_bucket<'a>(bucket: Option<&'a mut Vec<MemoEntry>>, token: &[u8]) -> Option<&'a mut MemoEntry> {
    bucket?.iter_mut().find(|entry| entry.is(token))
}

impl KnownToken {
    /// Bytes that storing it takes, estimated rather too high than too low.
    #[must_use]
    pub(crate) fn cost_bytes(&self) -> usize {
        let audiences = self.claims.audiences.iter();
        let audiences = audiences.map(|audience| audience.len().saturating_add(AUDIENCE_BYTES));
        let texts = [self.token.len(), self.claims.issuer.len(), TOKEN_BYTES].into_iter();
        texts.chain(audiences).fold(0, usize::saturating_add)
    }

    /// What a request stores of it after it was forwarded to its server.
    #[must_use]
    pub(crate) fn handle(&self) -> TokenHandle {
        TokenHandle(tail_of(&self.token))
    }

    /// The token itself, as presented: a secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.token
    }

    /// The token as text: what was read as a JWT is ASCII.
    #[must_use]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.token).unwrap_or_default()
    }

    /// Whether this worker has judged it stale before. Time does not run backwards: a clock by which it is fresh now was
    /// wrong then or is wrong now, and this worker cannot determine which.
    #[must_use]
    pub(crate) fn was_stale(&self) -> bool {
        self.was_stale.get()
    }

    /// Marks it as judged stale.
    pub(crate) fn mark_stale(&self) {
        self.was_stale.set(true);
    }
}

/// The last 8 bytes: the end of the signature, where two tokens differ if they differ at all.
fn tail_of(token: &[u8]) -> u64 {
    token
        .last_chunk::<8>()
        .map_or(0, |tail| u64::from_le_bytes(*tail))
}
