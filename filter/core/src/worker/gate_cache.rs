//! Gates that one worker found closed a moment ago: in a storm every request but a few would find them so again.
//!
//! A worker reads shared data again after each tick, so another worker's success opens the gate here at most one tick
//! later. Refusals in between are counted here and written to the pair's record at the tick.

use std::rc::Rc;

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::config::Server;
use crate::digest_map::DigestMap;
use crate::identity::{PairKey, TokenKey};
use crate::log::Refusals;
use crate::mcp_method::McpMethod;
use crate::pair::gate::ClosedGate;
use crate::reply::{Reply, refusal_reply};

/// Cached gates; past that a request reads shared data as if there were no cache.
const MOST_CACHED: usize = 4096;

/// One closed gate.
#[derive(Debug)]
struct CachedGate {
    pair: PairKey,
    refusal: Refusal,
    closed_until_ms: u64,
    /// Refusals that the pair's record does not count yet.
    uncounted: u32,
    /// When shared data was read, Unix ms.
    read_at_ms: u64,
    reply: Rc<Reply>,
    /// The `Retry-After` in the reply, if it has one.
    retry_after_seconds: Option<u64>,
}

/// The closed gates that one worker has read since its last tick.
#[derive(Debug, Default)]
pub(super) struct GateCache(DigestMap<TokenKey, CachedGate>);

impl CachedGate {
    /// Time until the gate opens; `None` when shared data must be read. A clock that stepped back must not lengthen
    /// anything.
    fn retry_after_ms(&self, now_ms: u64) -> Option<u64> {
        let left_ms = self.closed_until_ms.checked_sub(now_ms)?;
        (left_ms > 0 && now_ms >= self.read_at_ms).then_some(left_ms)
    }
}

impl GateCache {
    /// The refusal and the reply of a gate that is closed for certain, and counts the request.
    pub(super) fn refuse(
        &mut self,
        key: &TokenKey,
        server: &Server,
        now_ms: u64,
    ) -> Option<(Refusal, Rc<Reply>)> {
        let cached = self.0.get_mut(key)?;
        let retry_after_ms = cached.retry_after_ms(now_ms)?;
        cached.uncounted = cached.uncounted.saturating_add(1);
        let seconds = whole_seconds(retry_after_ms);
        if cached.retry_after_seconds.is_some_and(|other| other != seconds) {
            cached.reply = Rc::new(refusal_reply(cached.refusal, Some(server), retry_after_ms));
            cached.retry_after_seconds = Some(seconds);
        }
        Some((cached.refusal, Rc::clone(&cached.reply)))
    }

    /// Caches a gate that shared data holds closed at `now_ms`, and the reply to its requests.
    pub(super) fn insert(
        &mut self,
        pair: PairKey,
        key: TokenKey,
        closed: ClosedGate,
        now_ms: u64,
        reply: &Rc<Reply>,
    ) {
        if self.0.len() >= MOST_CACHED {
            return;
        }
        let ClosedGate {
            refusal,
            retry_after_ms,
        } = closed;
        let has_retry_after = refusal.class() != RefusalClass::LoginNeeded;
        let cached = CachedGate {
            pair,
            refusal,
            closed_until_ms: now_ms.saturating_add(retry_after_ms),
            uncounted: self.0.get(&key).map_or(0, |before| before.uncounted),
            read_at_ms: now_ms,
            reply: Rc::clone(reply),
            retry_after_seconds: has_retry_after.then(|| whole_seconds(retry_after_ms)),
        };
        self.0.insert(key, cached);
    }

    /// Removes a pair's gates. Returns the refusals that its record does not count yet.
    pub(super) fn remove_pair(&mut self, pair: &PairKey) -> u32 {
        let mut uncounted: u32 = 0;
        self.0.retain(|_, cached| {
            let others = cached.pair != *pair;
            if !others {
                uncounted = uncounted.saturating_add(cached.uncounted);
            }
            others
        });
        uncounted
    }

    /// Removes all gates. Returns the refusals that the pairs' records do not count yet.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (PairKey, Refusals)> {
        let uncounted = |(_, cached): (TokenKey, CachedGate)| {
            let refusals = Refusals::from_memory(cached.refusal, McpMethod::NONE, cached.uncounted);
            (cached.uncounted > 0).then_some((cached.pair, refusals))
        };
        self.0.drain().filter_map(uncounted)
    }

    /// Whether no gate is cached.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A span as `Retry-After` prints it.
fn whole_seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}
