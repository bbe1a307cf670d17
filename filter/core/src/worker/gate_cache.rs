//! Gates that were found closed a moment ago, in the worker's own memory: in a storm every request but a few would
//! find them so again.
//!
//! Shared data is read again after each tick, so another worker's success opens the gate here one tick later at the
//! most. What is refused meanwhile is counted here, and the pair's memory is told at the tick.

use std::rc::Rc;

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::logging::note_in;
use super::{Presented, Worker};
use crate::digest_map::DigestMap;
use crate::host::Host;
use crate::identity::{PairKey, TokenKey};
use crate::log::Level;
use crate::log::RefusalLine;
use crate::metric::Outcome;
use crate::pair::gate::Admission;
use crate::reply::{Reply, refusal_reply};

/// Gates held; past that a request looks into shared data as if there were no such memory.
const MOST_CACHED: usize = 4096;

/// One closed gate.
#[derive(Debug)]
pub(super) struct CachedGate {
    pair: PairKey,
    refusal: Refusal,
    closed_until_ms: u64,
    /// Refusals that the pair's memory has not been told of.
    untold: u32,
    /// When shared data was read, Unix ms.
    read_at_ms: u64,
    reply: Rc<Reply>,
    /// The `Retry-After` in the reply, if it has one.
    said_seconds: Option<u64>,
}

/// The closed gates that one worker knows of since its last tick.
pub(super) type GateCache = DigestMap<TokenKey, CachedGate>;

impl CachedGate {
    /// The gate's judgement; `None` when shared data must be read. A clock that stepped back must not lengthen
    /// anything.
    pub(super) fn admission(&self, now_ms: u64) -> Option<Admission> {
        let retry_after_ms = self
            .closed_until_ms
            .checked_sub(now_ms)
            .filter(|left_ms| *left_ms > 0)?;
        (now_ms >= self.read_at_ms).then_some(Admission::Closed {
            refusal: self.refusal,
            retry_after_ms,
        })
    }
}

impl<H: Host> Worker<H> {
    /// The answer of a gate that is held closed, for the reason and the time that it has told.
    pub(super) fn refuse_from_held(
        &mut self,
        presented: &Presented<'_>,
        (refusal, retry_after_ms): (Refusal, u64),
    ) -> Option<Rc<Reply>> {
        let held = self.held.get_mut(&presented.token_use.token_key)?;
        held.untold = held.untold.saturating_add(1);
        let seconds = whole_seconds(retry_after_ms);
        if held.said_seconds.is_some_and(|said| said != seconds) {
            let server = self.config.as_ref().ok()?.servers.get(presented.server_index);
            held.reply = Rc::new(refusal_reply(refusal, server, retry_after_ms));
            held.said_seconds = Some(seconds);
        }
        let reply = Rc::clone(&held.reply);
        self.count_request(presented.server_index, Outcome::Gated(refusal));
        Some(reply)
    }

    /// The answer of a gate that shared data says is closed. `noted` is the line when the refusal was counted there.
    pub(super) fn refuse_and_hold(
        &mut self,
        presented: &Presented<'_>,
        (refusal, retry_after_ms): (Refusal, u64),
        noted: Option<RefusalLine>,
    ) -> Rc<Reply> {
        let reply = Rc::new(self.refuse_from_gate(presented, (refusal, retry_after_ms), noted));
        self.hold(presented, (refusal, retry_after_ms), &reply);
        reply
    }

    /// Remembers that shared data holds this gate closed, and what such a request is answered. Not while every
    /// refusal is to be logged, and not where listeners' refusals are counted: both need the pair's memory each time.
    fn hold(
        &mut self,
        presented: &Presented<'_>,
        (refusal, retry_after_ms): (Refusal, u64),
        reply: &Rc<Reply>,
    ) {
        let counts_listeners = self
            .server(presented.server_index)
            .is_none_or(|server| server.listener_405_after.is_some());
        if counts_listeners || self.held.len() >= MOST_CACHED || self.host.log_enabled(Level::Debug) {
            return;
        }
        let gate = CachedGate {
            pair: presented.token_use.pair,
            refusal,
            closed_until_ms: presented.now_ms.saturating_add(retry_after_ms),
            untold: self.release(&presented.token_use.token_key),
            read_at_ms: presented.now_ms,
            reply: Rc::clone(reply),
            said_seconds: (refusal.class() != RefusalClass::LoginNeeded)
                .then(|| whole_seconds(retry_after_ms)),
        };
        self.held.insert(presented.token_use.token_key, gate);
    }

    /// How many refusals of this gate the pair's memory has not been told of. The gate is not held any more.
    fn release(&mut self, token_key: &TokenKey) -> u32 {
        self.held.remove(token_key).map_or(0, |held| held.untold)
    }

    /// How many refusals of any of a pair's gates its memory has not been told of. None of them is held any more.
    pub(super) fn release_pair(&mut self, pair: &PairKey) -> u32 {
        let mut untold: u32 = 0;
        self.held.retain(|_, held| {
            let others = held.pair != *pair;
            if !others {
                untold = untold.saturating_add(held.untold);
            }
            others
        });
        untold
    }

    /// A tick is over: the pairs' memories are told what was refused, and the next request of each looks there again.
    pub(super) fn release_all(&mut self) {
        let (every_ms, now_ms) = (self.warn_every_ms(), self.host.now_ms());
        for (_, held) in self.held.drain().filter(|(_, held)| held.untold > 0) {
            let told = self.memory.update(&self.host, &held.pair, now_ms, |record| {
                note_in(record, held.refusal, held.untold, false, every_ms, now_ms);
                (true, ())
            });
            // What cannot be told is lost: a count in a log line, by design.
            let _ = told;
        }
    }
}

/// As `Retry-After` says it.
fn whole_seconds(ms: u64) -> u64 {
    ms.div_ceil(1000).max(1)
}
