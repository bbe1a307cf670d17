//! Token exchanges: the product's decision about a stored token, and the steps of an exchange in the product's order.

use tokenward_control::coordination::lease::LeaseQueue;
use tokenward_control::upstream::exchange::record::{
    ExchangeDecision, ExchangeRecord, ExchangedToken, decide, fresh,
};
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::flight::{At, Due, ExchangeFlight, Flight, No, Stage, Step, Waiter};
use super::grants::Own;
use super::state::{
    CALLER_DEADLINE_MS, Control, LEASE_PATIENCE, POLICY, REMOTES, STORE_DEADLINE_MS, STORE_MS,
};
use super::store::{Exchanged, Leased};
use crate::count::Count;
use crate::message::{Ask, Call};
use crate::token::{Kind, Stamp};

/// Time of one exchange at a remote issuer without a queue, in milliseconds.
const SERVICE_MS: u64 = 40;

/// What is known of an exchanged token.
enum Known {
    Token(Stamp),
    Exchange,
    No(No),
}

impl Control {
    /// A call for a server's own token.
    pub(super) fn exchanged_token(&mut self, at: At, call: Call, now_ms: u64) {
        let Ask::Token {
            presented,
            server,
            reason,
        } = call.ask
        else {
            return;
        };
        // The grant's record states whether the user has a login.
        self.tally.one(Count::StoreReads);
        let known = self.known(presented.user, server, reason, now_ms);
        match known {
            Known::Token(stamp) => self.give(at, &call, stamp, now_ms + 3 * STORE_MS),
            Known::No(no) => self.refuse(at, &call, no, now_ms + 3 * STORE_MS),
            Known::Exchange => {
                let flight = self.exchange(at, call, now_ms + 3 * STORE_MS);
                self.plan(now_ms + CALLER_DEADLINE_MS, Due::Deadline(flight, call));
            }
        }
    }

    fn known(&self, user: u32, server: u16, reason: Reason, now_ms: u64) -> Known {
        let stored = self.store.exchanged(user, server, &self.tally);
        match decide(stored.map(|stored| &stored.record), reason, &POLICY, now_ms) {
            ExchangeDecision::Serve => match stored {
                Some(stored) => Known::Token(stamp_of(user, server, stored)),
                None => Known::Exchange,
            },
            ExchangeDecision::Exchange => Known::Exchange,
            ExchangeDecision::Refuse(refused) => Known::No(No {
                refusal: refused.refusal,
                retry_after_seconds: refused.retry_after_header(),
            }),
        }
    }

    /// Joins the exchange for a user and server in this replica, or starts it.
    fn exchange(&mut self, at: At, call: Call, now_ms: u64) -> u32 {
        let Ask::Token {
            presented,
            server,
            reason,
        } = call.ask
        else {
            return 0;
        };
        let key = (presented.user, server);
        if let Some(under_way) = self.replicas[at.replica].exchanges.get(&key) {
            if let Some(Flight::Exchange(flight)) = self.flights.get_mut(under_way) {
                flight.waiting.push(call);
            }
            return *under_way;
        }
        self.next_flight += 1;
        let number = self.next_flight;
        let flight = ExchangeFlight {
            at,
            user: presented.user,
            server,
            reason,
            presented,
            stage: Stage::Leasing,
            queue: LeaseQueue::default(),
            holder: format!("{number:08x}"),
            holds_lease: false,
            waiting: vec![call],
        };
        self.flights.insert(number, Flight::Exchange(flight));
        self.replicas[at.replica].exchanges.insert(key, number);
        self.go_on(number, Step::Done, now_ms);
        number
    }

    /// The step of an exchange has ended: the next one.
    pub(super) fn go_on(&mut self, number: u32, step: Step, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get(&number) else {
            return;
        };
        let stage = flight.stage;
        if stage == Stage::Calling {
            let (at, index) = (flight.at, limits_of(flight.server));
            self.set_stage(number, Stage::Storing);
            self.replicas[at.replica].limits[index].answered();
            self.look_at_limits(at, index, now_ms);
        }
        match (stage, step) {
            (_, Step::StoreFailed) => {
                self.end_exchange(number, Err(No::new(Refusal::StoreUnavailable)), now_ms);
            }
            (_, Step::Subject(Err(no))) => self.without_subject(number, no, now_ms),
            (_, Step::Permit(Err(no))) => self.end_exchange(number, Err(no), now_ms),
            (Stage::Leasing | Stage::Reading | Stage::Calling, _) if !self.store.is_there(now_ms) => {
                self.plan(
                    now_ms + STORE_DEADLINE_MS,
                    Due::Exchange(number, Step::StoreFailed),
                );
            }
            (Stage::Leasing, _) => self.take_exchange_lease(number, now_ms),
            (Stage::Reading, _) => self.read_exchange(number, now_ms),
            (Stage::Subject, _) => self.ask_remote(number, now_ms),
            (Stage::Permit, _) => self.call_remote(number, now_ms),
            (Stage::Calling, _) => self.store_exchanged(number, now_ms),
            (Stage::Storing, _) => self.end_exchange(number, Ok(()), now_ms),
        }
    }

    fn set_stage(&mut self, number: u32, stage: Stage) {
        if let Some(Flight::Exchange(flight)) = self.flights.get_mut(&number) {
            flight.stage = stage;
        }
    }

    fn take_exchange_lease(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        let (user, server, reason) = (flight.user, flight.server, flight.reason);
        let leased = Leased::Exchange(user, server);
        if self.store.take_lease(leased, &flight.holder, now_ms, &self.tally) {
            (flight.holds_lease, flight.stage) = (true, Stage::Reading);
            return self.plan(now_ms + STORE_MS, Due::Exchange(number, Step::Done));
        }
        let wait = flight.queue.next_wait();
        let is_over = flight.queue.waited() > LEASE_PATIENCE;
        match self.known(user, server, reason, now_ms) {
            Known::Token(_) => self.end_exchange(number, Ok(()), now_ms + STORE_MS),
            Known::No(no) => self.end_exchange(number, Err(no), now_ms + STORE_MS),
            Known::Exchange if is_over => {
                self.end_exchange(number, Err(No::new(Refusal::Busy)), now_ms);
            }
            Known::Exchange => {
                let then_ms = now_ms + u64::try_from(wait.as_millis()).unwrap_or(1_000);
                self.plan(then_ms, Due::Exchange(number, Step::Done));
            }
        }
    }

    /// Under the lease: what an earlier read showed may have changed.
    fn read_exchange(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get(&number) else {
            return;
        };
        let (at, user, server, reason) = (flight.at, flight.user, flight.server, flight.reason);
        let presented = Stamp {
            user,
            ..flight.presented
        };
        let then_ms = now_ms + STORE_MS;
        match self.known(user, server, reason, now_ms) {
            Known::Token(_) => return self.end_exchange(number, Ok(()), then_ms),
            Known::No(no) => return self.end_exchange(number, Err(no), then_ms),
            Known::Exchange => {}
        }
        self.set_stage(number, Stage::Subject);
        match self.own(&presented, Reason::Stale, now_ms) {
            Own::Stored(_) => self.plan(then_ms + STORE_MS, Due::Exchange(number, Step::Subject(Ok(())))),
            Own::No(no) => self.plan(then_ms + STORE_MS, Due::Exchange(number, Step::Subject(Err(no)))),
            Own::Refresh => {
                let waiter = Waiter::Exchange(number);
                self.refresh(at, &presented, Reason::Stale, waiter, then_ms);
            }
        }
    }

    /// The user's own token is there, or not.
    pub(super) fn on_subject(&mut self, number: u32, result: Result<(), No>, now_ms: u64) {
        self.plan(now_ms, Due::Exchange(number, Step::Subject(result)));
    }

    /// A presented token that is fresh serves as well.
    fn without_subject(&mut self, number: u32, no: No, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get(&number) else {
            return;
        };
        let presented = flight.presented;
        let is_proof = presented.kind == Kind::Home
            && no.refusal != Refusal::UnknownSession
            && is_fresh(u64::from(presented.exp_seconds), POLICY.margin, now_ms);
        match is_proof {
            true => self.ask_remote(number, now_ms),
            false => self.end_exchange(number, Err(no), now_ms),
        }
    }

    fn ask_remote(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        flight.stage = Stage::Permit;
        let (at, index) = (flight.at, limits_of(flight.server));
        self.replicas[at.replica].limits[index].ask(number, now_ms);
        self.look_at_limits(at, index, now_ms);
    }

    fn call_remote(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        flight.stage = Stage::Calling;
        let remote = limits_of(flight.server) - 1;
        let service_us = 1_000_000 / u64::from(self.options.issuer_per_second.max(1));
        let busy_us = &mut self.remotes_busy_us[remote];
        *busy_us = (*busy_us).max(now_ms * 1000) + service_us;
        let answered_ms = (*busy_us / 1000).max(now_ms) + SERVICE_MS;
        self.tally.one(Count::Exchanges);
        self.plan(answered_ms, Due::Exchange(number, Step::Done));
    }

    /// The subject is compared with the first exchange's, the token is written, and the user's standing read again.
    fn store_exchanged(&mut self, number: u32, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.get_mut(&number) else {
            return;
        };
        flight.stage = Stage::Storing;
        let (user, server) = (flight.user, flight.server);
        let before = self.store.exchanged(user, server, &self.tally);
        let count = before.map_or(0, |before| before.number) + 1;
        if count == 1 {
            self.tally.one(Count::StoreWrites);
        }
        let issued = now_ms / 1000;
        let token = ExchangedToken {
            sealed: Vec::new().into(),
            exp_seconds: issued + u64::from(self.options.token_life_seconds),
            issued_at_seconds: Some(issued),
            made_at_ms: now_ms,
        };
        let exchanged = Exchanged {
            record: ExchangeRecord::of(Some(token), None),
            number: count,
        };
        self.store.write_exchanged(user, server, exchanged, &self.tally);
        self.tally.one(Count::StoreReads);
        self.plan(now_ms + 4 * STORE_MS, Due::Exchange(number, Step::Done));
    }

    fn end_exchange(&mut self, number: u32, result: Result<(), No>, now_ms: u64) {
        let Some(Flight::Exchange(flight)) = self.flights.remove(&number) else {
            return;
        };
        let (user, server) = (flight.user, flight.server);
        self.replicas[flight.at.replica].exchanges.remove(&(user, server));
        if flight.holds_lease && self.store.is_there(now_ms) {
            let leased = Leased::Exchange(user, server);
            self.store.release_lease(leased, &flight.holder, &self.tally);
        }
        for call in flight.waiting {
            self.end_exchange_wait(flight.at, &call, result, now_ms);
        }
    }

    /// A failed renewal ahead of time loses nothing.
    fn end_exchange_wait(&mut self, at: At, call: &Call, result: Result<(), No>, now_ms: u64) {
        let Ask::Token {
            presented,
            server,
            reason,
        } = call.ask
        else {
            return;
        };
        let user = presented.user;
        let no = result.err().unwrap_or(No::new(Refusal::Busy));
        let may_serve = result.is_ok() || reason == Reason::NearExpiry;
        let stored = self.store.exchanged(user, server, &self.tally);
        let good =
            stored.filter(|stored| may_serve && fresh(Some(&stored.record), &POLICY, now_ms).is_some());
        match good.map(|stored| stamp_of(user, server, stored)) {
            Some(stamp) => self.give(at, call, stamp, now_ms),
            None => self.refuse(at, call, no, now_ms),
        }
    }
}

/// The place of the limits of a server's remote issuer.
fn limits_of(server: u16) -> usize {
    1 + usize::from(server) % REMOTES
}

fn stamp_of(user: u32, server: u16, stored: &Exchanged) -> Stamp {
    let exp_seconds = stored.record.token.as_ref().map_or(0, |token| token.exp_seconds);
    Stamp {
        kind: Kind::Exchanged,
        user,
        number: stored.number,
        exp_seconds: u32::try_from(exp_seconds).unwrap_or(u32::MAX),
        key: 0,
        server,
    }
}
