//! Control in steps: calls arrive, what is due happens, replicas come and go.

use std::time::Duration;

use tokenward_protocol::refusal::Refusal;

use super::flight::{At, Due, Flight, No, Step, Waiter};
use super::limits::HeldBack;
use super::records;
use super::state::{Control, Replica, STORE_DEADLINE_MS, STORE_MS};
use crate::count::Count;
use crate::message::{Answer, Ask, Asker, Call, Said};
use crate::random::mix_two;
use tokenward_control::upstream::grant::attempt::Event;

/// How long all replicas are away when they restart.
const RESTART_MS: u64 = 10_000;
/// How long the load balancer takes to notice that a replica is away, or there again.
const NOTICE_MS: u64 = 5_000;
/// How long the store is away when it loses a zone: until another node has taken over.
const FAILOVER_MS: u64 = 15_000;
/// The zone of [`crate::options::Incident::Outage`].
pub(crate) const LOST_ZONE: u32 = 2;

impl Control {
    /// Simulates the step from `from_ms` to `to_ms`, in which these calls arrive; the answers to those so far.
    pub(crate) fn step(&mut self, mut calls: Vec<Call>, from_ms: u64, to_ms: u64) -> Vec<Answer> {
        self.change_replicas(from_ms);
        let seed = self.options.seed;
        calls.sort_by_cached_key(|call| (call.at_ms, mix_two(seed ^ call.at_ms, call.from.number())));
        for call in calls {
            let at_ms = call.at_ms.max(from_ms);
            self.happen_until(at_ms);
            self.arrive(call, at_ms);
        }
        self.happen_until(to_ms);
        self.take_answers()
    }

    fn happen_until(&mut self, until_ms: u64) {
        while let Some((at_ms, due)) = self.next_due(until_ms) {
            match due {
                Due::Grant(flight, event) => self.drive(flight, event, at_ms),
                Due::Exchange(flight, step) => self.go_on(flight, step, at_ms),
                Due::Limits(at, index) => {
                    if self.lives(at) {
                        self.replicas[at.replica].looks_ms[index] = None;
                        self.look_at_limits(at, index, at_ms);
                    }
                }
                Due::Deadline(flight, call) => self.on_deadline(flight, &call, at_ms),
                Due::Refuse(at, call, no) => {
                    if self.lives(at) {
                        self.refuse(at, &call, no, at_ms);
                    }
                }
            }
        }
    }

    /// Lets those call an issuer whose turn it is.
    pub(super) fn look_at_limits(&mut self, at: At, index: usize, now_ms: u64) {
        let (decided, again_ms) = self.replicas[at.replica].limits[index].proceed(now_ms);
        for (flight, permission) in decided {
            let result = permission.map_err(|(why, wait)| self.held_back(index, why, wait));
            match (index, result) {
                (0, Ok(())) => self.plan(now_ms, Due::Grant(flight, Event::Ready)),
                (0, Err(no)) => self.plan(now_ms, Due::Grant(flight, not_ready(no))),
                (_, result) => self.plan(now_ms, Due::Exchange(flight, Step::Permit(result))),
            }
        }
        let planned = &mut self.replicas[at.replica].looks_ms[index];
        if let Some(again_ms) = again_ms
            && planned.is_none_or(|at_ms| at_ms > again_ms)
        {
            *planned = Some(again_ms);
            self.plan(again_ms, Due::Limits(at, index));
        }
    }

    fn held_back(&self, index: usize, why: HeldBack, wait: Duration) -> No {
        self.tally.one(match why {
            HeldBack::Rate => Count::HeldBackRate,
            HeldBack::Queue => Count::HeldBackQueue,
            HeldBack::Circuit => Count::HeldBackCircuit,
        });
        let refusal = match index {
            0 => Refusal::IssuerUnavailable,
            _ => Refusal::ExchangeUnavailable,
        };
        No::after(refusal, wait)
    }

    /// A call arrives at one of the replicas that the load balancer takes for healthy.
    fn arrive(&mut self, call: Call, now_ms: u64) {
        let healthy: Vec<usize> = (0..self.replicas.len())
            .filter(|replica| self.balanced[*replica])
            .collect();
        let chosen = match healthy.len() {
            0 => None,
            count => Some(healthy[self.random.below(count as u64) as usize]),
        };
        let there = chosen.filter(|replica| self.replicas[*replica].is_up);
        let Some(replica) = there else {
            // A host that is gone answers nothing at all; the gateway's own deadline ends the call.
            let is_lost = chosen.is_some_and(|replica| self.replicas[replica].is_lost);
            if !is_lost || matches!(call.from, Asker::Session { .. }) {
                self.tally.one(Count::AnsweredNot);
                self.say(call.from, Said::Unreached, now_ms);
            }
            return;
        };
        let at = At {
            replica,
            life: self.replicas[replica].life,
        };
        match call.ask {
            Ask::State { servers, .. } => {
                let state = self.state_after(servers);
                self.say(call.from, Said::State(state), now_ms);
            }
            Ask::Login(user) => self.log_in(call, user, now_ms),
            Ask::Token { server, .. } => self.token(at, call, server, now_ms),
        }
    }

    fn token(&mut self, at: At, call: Call, server: u16, now_ms: u64) {
        if !self.store.is_there(now_ms) {
            let no = No::new(Refusal::StoreUnavailable);
            return self.plan(now_ms + STORE_DEADLINE_MS, Due::Refuse(at, call, no));
        }
        // The session that the request names.
        self.tally.one(Count::StoreReads);
        match self.options.is_exchanging(server) {
            true => self.exchanged_token(at, call, now_ms),
            false => self.own_token(at, call, now_ms),
        }
    }

    /// The aggregator registers a new login.
    fn log_in(&mut self, call: Call, user: u32, now_ms: u64) {
        if !self.store.is_there(now_ms) {
            return self.say(call.from, Said::Unreached, now_ms + STORE_DEADLINE_MS);
        }
        let stamp = self.issuer.log_in(user, now_ms);
        let before = records::read(self.store.grant(user, &self.tally).1).ok();
        let record = records::logged_in(before.as_ref(), &stamp, self.options.token_life_seconds, now_ms);
        if let Ok(bytes) = record.to_bytes() {
            self.store.write_grant(user, None, bytes, &self.tally);
        }
        // The session's record, and the set of the grant's sessions.
        self.tally.many(Count::StoreWrites, 2);
        self.tally.one(Count::Logins);
        self.say(call.from, Said::LoggedIn(stamp), now_ms + 4 * STORE_MS);
    }

    fn change_replicas(&mut self, now_ms: u64) {
        if let Some(restart_ms) = self.options.restart_ms() {
            if now_ms == restart_ms {
                (0..self.replicas.len()).for_each(|replica| self.stop(replica, false, now_ms));
            }
            if now_ms == restart_ms + RESTART_MS {
                (0..self.replicas.len()).for_each(|replica| self.start(replica));
            }
        }
        let Some((from_ms, to_ms)) = self.options.outage_ms() else {
            return;
        };
        let zone = |control: &Self| -> Vec<usize> {
            let all = 0..control.replicas.len();
            all.filter(|replica| control.replicas[*replica].zone == LOST_ZONE)
                .collect()
        };
        if now_ms == from_ms {
            self.store.go_away(from_ms + FAILOVER_MS);
            zone(self)
                .into_iter()
                .for_each(|replica| self.stop(replica, true, now_ms));
        }
        if now_ms == from_ms + NOTICE_MS {
            zone(self)
                .into_iter()
                .for_each(|replica| self.balanced[replica] = false);
        }
        if now_ms == to_ms {
            zone(self).into_iter().for_each(|replica| self.start(replica));
        }
        if now_ms == to_ms + NOTICE_MS {
            zone(self)
                .into_iter()
                .for_each(|replica| self.balanced[replica] = true);
        }
    }

    fn start(&mut self, replica: usize) {
        let before = &self.replicas[replica];
        self.replicas[replica] = Replica::start(&self.options, before.zone, before.life + 1);
    }

    /// A replica dies with everything that it had under way. `is_lost`: its callers learn nothing of it.
    fn stop(&mut self, replica: usize, is_lost: bool, now_ms: u64) {
        self.replicas[replica].is_up = false;
        self.replicas[replica].is_lost = is_lost;
        let at = |flight: &Flight| match flight {
            Flight::Grant(flight) => flight.at.replica,
            Flight::Exchange(flight) => flight.at.replica,
        };
        let its: Vec<u32> = self
            .flights
            .iter()
            .filter(|(_, flight)| at(flight) == replica)
            .map(|(number, _)| *number)
            .collect();
        for number in its {
            let callers: Vec<Asker> = match self.flights.remove(&number) {
                Some(Flight::Grant(flight)) => {
                    let calls = flight.waiting.iter().filter_map(|waiter| match waiter {
                        Waiter::Call(call) => Some(call.from),
                        Waiter::Exchange(_) => None,
                    });
                    calls.collect()
                }
                Some(Flight::Exchange(flight)) => flight.waiting.iter().map(|call| call.from).collect(),
                None => Vec::new(),
            };
            if !is_lost {
                for caller in callers {
                    self.tally.one(Count::AnsweredNot);
                    self.say(caller, Said::Unreached, now_ms);
                }
            }
        }
    }
}

/// What an attempt learns when no call is permitted.
fn not_ready(no: No) -> Event {
    let mut event = Event::NotReady(no.refusal.into());
    if let Event::NotReady(refused) = &mut event {
        refused.retry_after_seconds = no.retry_after_seconds;
    }
    event
}
