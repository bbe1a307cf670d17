//! Refreshes: the product's attempt, with the simulation's store and issuer around it.

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::grant::attempt::{
    Attempt, AttemptConfig, Event, Finished, Now, ObservedGrant, Step, Verdict,
};
use tokenward_control::upstream::grant::decide::{Decision, decide};
use tokenward_control::upstream::grant::record::{GrantRecord, VersionedGrant};
use tokenward_control::upstream::issuer::introspection::Introspected;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::flight::{At, Due, Flight, GrantFlight, No, Waiter, want};
use super::issuer::Cause;
use super::records;
use super::state::{CALLER_DEADLINE_MS, Control, LEASE_PATIENCE, POLICY, STORE_DEADLINE_MS, STORE_MS};
use super::store::Leased;
use crate::message::{Ask, Call};
use crate::token::Stamp;

/// Where a caller's own token comes from.
pub(super) enum Own {
    /// The record has it.
    Stored(Stamp),
    /// The grant must be refreshed first.
    Refresh,
    /// None.
    No(No),
}

impl Control {
    /// A call for the user's own token.
    pub(super) fn own_token(&mut self, at: At, call: Call, now_ms: u64) {
        let Ask::Token {
            presented, reason, ..
        } = call.ask
        else {
            return;
        };
        match self.own(&presented, reason, now_ms) {
            Own::Stored(stamp) => self.give(at, &call, stamp, now_ms + 2 * STORE_MS),
            Own::No(no) => self.refuse(at, &call, no, now_ms + 2 * STORE_MS),
            Own::Refresh => {
                let flight = self.refresh(at, &presented, reason, Waiter::Call(call), now_ms + 2 * STORE_MS);
                self.plan(now_ms + CALLER_DEADLINE_MS, Due::Deadline(flight, call));
            }
        }
    }

    /// The decision about the user's own token, by the product.
    pub(super) fn own(&self, presented: &Stamp, reason: Reason, now_ms: u64) -> Own {
        let Some(record) = self.grant_record(presented.user) else {
            return Own::No(No::new(Refusal::StoreUnavailable));
        };
        let want = want(reason, records::fingerprint_of(presented));
        match decide(&record, &want, &POLICY, now_ms) {
            Decision::Serve => Own::Stored(stored_stamp(presented.user, &record)),
            Decision::Refresh => Own::Refresh,
            Decision::Refuse(refused) => Own::No(No {
                refusal: refused.refusal,
                retry_after_seconds: refused.retry_after_header(),
            }),
        }
    }

    fn grant_record(&self, user: u32) -> Option<GrantRecord> {
        let (_, bytes) = self.store.grant(user, &self.tally);
        records::read(bytes).ok()
    }

    /// Joins the refresh of a user's grant in this replica, or starts it.
    pub(super) fn refresh(
        &mut self,
        at: At,
        presented: &Stamp,
        reason: Reason,
        waiter: Waiter,
        now_ms: u64,
    ) -> u32 {
        let user = presented.user;
        if let Some(under_way) = self.replicas[at.replica].refreshes.get(&user) {
            if let Some(Flight::Grant(flight)) = self.flights.get_mut(under_way) {
                flight.waiting.push(waiter);
            }
            return *under_way;
        }
        let config = AttemptConfig {
            policy: POLICY,
            issuer: IssuerPolicy::Tolerant,
            patience: LEASE_PATIENCE,
        };
        let want = want(reason, records::fingerprint_of(presented));
        self.next_flight += 1;
        let number = self.next_flight;
        let flight = GrantFlight {
            at,
            user,
            attempt: Box::new(Attempt::new(want, config)),
            cause: match reason {
                Reason::Rejected => Cause::Rejection,
                Reason::Stale | Reason::NearExpiry => Cause::Age,
            },
            holder: format!("{number:08x}"),
            holds_lease: false,
            has_permit: false,
            stamp: None,
            waiting: vec![waiter],
        };
        self.flights.insert(number, Flight::Grant(flight));
        self.replicas[at.replica].refreshes.insert(user, number);
        self.drive(number, Event::Started, now_ms);
        number
    }

    /// The step of a refresh has ended with `event`: the next one.
    pub(super) fn drive(&mut self, number: u32, event: Event, now_ms: u64) {
        let jitter = (self.random.next() >> 32) as u32;
        let Some(Flight::Grant(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        if matches!(event, Event::Ready) {
            flight.has_permit = true;
        } else if matches!(event, Event::Answered(_)) && std::mem::take(&mut flight.has_permit) {
            let at = flight.at;
            self.replicas[at.replica].limits[0].answered();
            self.look_at_limits(at, 0, now_ms);
        }
        let Some(Flight::Grant(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        let step = flight.attempt.next(event, Now { now_ms, jitter });
        match step {
            Step::Finish(finished) => self.finish_refresh(number, &finished, now_ms),
            Step::Wait(span) => {
                let then_ms = now_ms + u64::try_from(span.as_millis()).unwrap_or(u64::MAX / 2);
                self.plan(then_ms, Due::Grant(number, Event::Waited));
            }
            Step::Prepare(_) => {
                let at = flight.at;
                self.replicas[at.replica].limits[0].ask(number, now_ms);
                self.look_at_limits(at, 0, now_ms);
            }
            Step::Present => self.present(number, now_ms),
            Step::Examine => {
                let examined = flight
                    .stamp
                    .map(|stamp| records::id_token(&stamp, self.options.token_life_seconds));
                let event = examined.map_or(Event::StoreFailed, |token| Event::Examined(Ok(token)));
                self.plan(now_ms, Due::Grant(number, event));
            }
            Step::Introspect(_) => {
                let event = Event::Introspected(Introspected::Withheld);
                self.plan(now_ms, Due::Grant(number, event));
            }
            step if self.store.is_there(now_ms) => {
                if let Some(event) = self.at_store(number, step, now_ms) {
                    self.plan(now_ms + STORE_MS, Due::Grant(number, event));
                }
            }
            Step::ConfirmLease => {
                let event = Event::LeaseConfirmed(false);
                self.plan(now_ms + STORE_DEADLINE_MS, Due::Grant(number, event));
            }
            _ => self.plan(now_ms + STORE_DEADLINE_MS, Due::Grant(number, Event::StoreFailed)),
        }
    }

    /// The step of a refresh that uses the store.
    fn at_store(&mut self, number: u32, step: Step, now_ms: u64) -> Option<Event> {
        let Some(Flight::Grant(flight)) = self.flights.get_mut(&number) else {
            return None;
        };
        let (user, leased) = (flight.user, Leased::Grant(flight.user));
        let tally = &self.tally;
        match step {
            Step::TakeLease => {
                let taken = self.store.take_lease(leased, &flight.holder, now_ms, tally);
                flight.holds_lease = taken;
                Some(match taken {
                    true => Event::LeaseAcquired(flight.holder.clone()),
                    false => Event::LeaseHeld,
                })
            }
            Step::ConfirmLease => {
                let ours = self.store.take_lease(leased, &flight.holder, now_ms, tally);
                Some(Event::LeaseConfirmed(ours))
            }
            Step::Read => {
                let (revision, bytes) = self.store.grant(user, tally);
                let record = records::read(bytes).ok()?;
                Some(Event::Read(Some(Box::new(ObservedGrant {
                    revision,
                    record,
                    lost_rotation: None,
                    lineage: None,
                    intent_observed_ms: None,
                }))))
            }
            Step::Write { at, record } => {
                let bytes = record.to_bytes().ok()?;
                Some(match self.store.write_grant(user, Some(at), bytes, tally) {
                    Some(revision) => Event::Written(revision),
                    None => {
                        let (revision, bytes) = self.store.grant(user, tally);
                        let record = records::read(bytes).ok()?;
                        Event::Conflict(Some(Box::new(VersionedGrant { revision, record })))
                    }
                })
            }
            _ => None,
        }
    }

    /// The refresh token is presented.
    fn present(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Grant(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        let record = flight.attempt.record();
        let token = record.and_then(|record| record.refresh_token.as_ref());
        let presented = token.map(records::number_of).unwrap_or_default();
        let before = record.and_then(|record| record.intent.as_ref());
        let again = before.is_some_and(|intent| {
            intent.holder != flight.holder
                && token.is_some_and(|token| token.fingerprint == intent.fingerprint)
        });
        let answered_ms = self.issuer.answers_at_ms(now_ms);
        let (answer, stamp) =
            self.issuer
                .refresh(flight.user, presented, (flight.cause, again), now_ms, &self.tally);
        flight.stamp = stamp;
        self.plan(answered_ms, Due::Grant(number, Event::Answered(answer)));
    }

    fn finish_refresh(&mut self, number: u32, finished: &Finished, now_ms: u64) {
        let Some(Flight::Grant(flight)) = self.flights.remove(&number) else {
            return;
        };
        self.replicas[flight.at.replica].refreshes.remove(&flight.user);
        if flight.holds_lease && self.store.is_there(now_ms) {
            let leased = Leased::Grant(flight.user);
            self.store.release_lease(leased, &flight.holder, &self.tally);
        }
        if flight.has_permit {
            self.replicas[flight.at.replica].limits[0].abandoned();
            self.look_at_limits(flight.at, 0, now_ms);
        }
        let record = match &finished.verdict {
            Verdict::Serve(record) => Some(record.as_ref().clone()),
            Verdict::Refuse(_) => None,
        };
        let refused = match &finished.verdict {
            Verdict::Serve(_) => No::new(Refusal::Busy),
            Verdict::Refuse(refused) => No {
                refusal: refused.refusal,
                retry_after_seconds: refused.retry_after_header(),
            },
        };
        for waiter in flight.waiting {
            match waiter {
                Waiter::Call(call) => {
                    self.end_wait(flight.at, &call, record.as_ref(), refused, now_ms);
                }
                Waiter::Exchange(exchange) => {
                    let has_token = record.as_ref().is_some_and(|record| is_good(record, now_ms));
                    self.on_subject(exchange, has_token.then_some(()).ok_or(refused), now_ms);
                }
            }
        }
    }

    /// What a caller gets of a refresh that is over: a failed one ahead of time loses nothing.
    fn end_wait(&mut self, at: At, call: &Call, record: Option<&GrantRecord>, refused: No, now_ms: u64) {
        let Ask::Token {
            presented, reason, ..
        } = call.ask
        else {
            return;
        };
        if let Some(record) = record.filter(|record| is_good(record, now_ms)) {
            return self.give(at, call, stored_stamp(presented.user, record), now_ms);
        }
        let may_fall_back = reason != Reason::Rejected && refused.refusal != Refusal::UnknownSession;
        let stored = may_fall_back.then(|| self.grant_record(presented.user)).flatten();
        match stored.filter(|record| is_good(record, now_ms)) {
            Some(record) => self.give(at, call, stored_stamp(presented.user, &record), now_ms),
            None => self.refuse(at, call, refused, now_ms),
        }
    }

    /// A caller has waited as long as it may.
    pub(super) fn on_deadline(&mut self, number: u32, call: &Call, now_ms: u64) {
        let (at, refusal) = match self.flights.get_mut(&number) {
            Some(Flight::Grant(flight)) => {
                let before = flight.waiting.len();
                flight
                    .waiting
                    .retain(|waiter| !matches!(waiter, Waiter::Call(waiting) if waiting.from == call.from));
                if flight.waiting.len() == before {
                    return;
                }
                let refusal = match flight.attempt.is_waiting_for_store() {
                    true => Refusal::StoreUnavailable,
                    false => Refusal::Busy,
                };
                (flight.at, refusal)
            }
            Some(Flight::Exchange(flight)) => {
                let before = flight.waiting.len();
                flight.waiting.retain(|waiting| waiting.from != call.from);
                if flight.waiting.len() == before {
                    return;
                }
                (flight.at, Refusal::Busy)
            }
            None => return,
        };
        self.refuse(at, call, No::new(refusal), now_ms);
    }
}

fn is_good(record: &GrantRecord, now_ms: u64) -> bool {
    let token = record.id_token.as_ref();
    token.is_some_and(|token| is_fresh(token.exp_seconds, POLICY.margin, now_ms))
}

fn stored_stamp(user: u32, record: &GrantRecord) -> Stamp {
    let nothing = Stamp {
        kind: crate::token::Kind::Home,
        user,
        number: 0,
        exp_seconds: 0,
        key: 0,
        server: 0,
    };
    record
        .id_token
        .as_ref()
        .map_or(nothing, |token| records::stamp_of(user, token))
}
