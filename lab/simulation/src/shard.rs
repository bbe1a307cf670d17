//! A group of Envoys with the sessions that use them, step by step.

use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use tokenward_filter_core::host::CallId;

use crate::clients::{Action, Clients, STEP_MS};
use crate::count::{Count, Counts, Tally};
use crate::gateway::{Envoy, Held, Outcome, Request};
use crate::message::{Answer, Ask, Asker, Call, Said};
use crate::options::{Options, START_MS, ZONES};
use crate::random::Random;
use crate::servers::Servers;

/// Time from a gateway to control, in milliseconds.
const WAY_MS: u64 = 1;

/// What a shard gets for one step.
#[derive(Debug, Default)]
pub(crate) struct StepInput {
    /// Control's answers, in the order of their arrival.
    pub(crate) answers: Vec<Answer>,
    /// A zone whose Envoys stop now.
    pub(crate) zone_stops: Option<u32>,
    /// A zone whose Envoys start again now.
    pub(crate) zone_starts: Option<u32>,
    /// Whether every listener loses its stream now.
    pub(crate) streams_end: bool,
    /// Whether to look at the memories.
    pub(crate) measures: bool,
}

/// What a shard did in one step.
#[derive(Debug)]
pub(crate) struct StepOutput {
    /// Calls to control.
    pub(crate) calls: Vec<Call>,
    /// All counts so far.
    pub(crate) counts: Counts,
    /// Digest of everything so far.
    pub(crate) digest: [u8; 32],
    /// The memories, if they were to be measured.
    pub(crate) memory: Option<ShardMemory>,
}

/// What the Envoys of a shard hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShardMemory {
    pub(crate) most_of_a_worker: usize,
    pub(crate) of_all_workers: usize,
    pub(crate) most_shared: usize,
    pub(crate) all_shared: usize,
}

/// A group of Envoys with their sessions.
pub(crate) struct Shard {
    number: u16,
    options: Options,
    tally: Rc<Tally>,
    servers: Rc<Servers>,
    envoys: Vec<Option<Envoy>>,
    lives: Vec<u16>,
    up: Vec<bool>,
    clients: Clients,
    logins: Vec<u32>,
    digest: Sha256,
}

impl Shard {
    /// Shard number `number` of a run.
    pub(crate) fn new(options: &Options, number: u32) -> Self {
        let part = |all: u32| {
            let at = |number: u32| (u64::from(all) * u64::from(number) / u64::from(options.shards())) as u32;
            at(number)..at(number + 1)
        };
        let (tally, servers) = (Rc::new(Tally::default()), Rc::new(Servers::new(options)));
        let count = part(options.envoys).len();
        let mut shard = Self {
            number: number as u16,
            tally,
            servers,
            envoys: Vec::new(),
            lives: vec![0; count],
            up: vec![true; count],
            clients: Clients::new(options, part(options.sessions), 1_000 + u64::from(number)),
            logins: Vec::new(),
            digest: Sha256::new(),
            options: options.clone(),
        };
        let envoys = (0..count).map(|at| Some(shard.start_envoy(at, START_MS)));
        shard.envoys = envoys.collect();
        shard
    }

    fn start_envoy(&self, at: usize, now_ms: u64) -> Envoy {
        let stream = (u64::from(self.number) << 40) | ((at as u64) << 16) | u64::from(self.lives[at]);
        let random = Random::new(self.options.seed ^ 0xE4707, stream);
        let workers = self.options.workers_per_envoy;
        Envoy::start(workers, random, &self.tally, &self.servers, now_ms)
    }

    /// Simulates the step that begins at `now_ms`.
    pub(crate) fn step(&mut self, now_ms: u64, input: &StepInput) -> StepOutput {
        self.change_zones(now_ms, input);
        for answer in &input.answers {
            self.on_answer(answer, answer.at_ms.max(now_ms));
        }
        let due = self.clients.take_due(now_ms);
        for (at, (session, action)) in due.iter().enumerate() {
            let at_ms = now_ms + at as u64 * STEP_MS / due.len() as u64;
            self.act(*session, *action, at_ms);
        }
        let end_ms = now_ms + STEP_MS - 1;
        let mut calls = Vec::new();
        for at in 0..self.envoys.len() {
            if let Some(envoy) = &mut self.envoys[at] {
                let outcomes = envoy.tick(end_ms);
                self.take_calls(at, &mut calls);
                self.note_all(at, &outcomes, end_ms);
            }
        }
        for session in std::mem::take(&mut self.logins) {
            calls.push(Call {
                at_ms: end_ms,
                from: Asker::Session {
                    shard: self.number,
                    session,
                },
                ask: Ask::Login(self.clients.session(session).user),
            });
        }
        let counts = self.tally.counts();
        for number in counts.numbers() {
            self.digest.update(number.to_le_bytes());
        }
        StepOutput {
            calls,
            counts,
            digest: self.digest.clone().finalize().into(),
            memory: input.measures.then(|| self.memory()),
        }
    }

    fn take_calls(&mut self, at: usize, calls: &mut Vec<Call>) {
        let Some(envoy) = &mut self.envoys[at] else {
            return;
        };
        for started in envoy.take_started() {
            calls.push(Call {
                at_ms: started.at_ms + WAY_MS,
                from: Asker::Worker {
                    shard: self.number,
                    envoy: at as u16,
                    life: self.lives[at],
                    worker: started.worker,
                    call: started.call.0,
                },
                ask: started.ask,
            });
        }
    }

    fn change_zones(&mut self, now_ms: u64, input: &StepInput) {
        let count = self.envoys.len();
        let of_zone = move |zone: u32| (0..count).filter(move |at| *at as u32 % ZONES == zone);
        if let Some(zone) = input.zone_stops {
            for at in of_zone(zone) {
                let stopped = self.envoys[at].take();
                self.up[at] = false;
                let lost = stopped.map(|envoy| envoy.paused()).unwrap_or_default();
                self.note_all(at, &lost, now_ms);
                self.clients.lose_streams(Some(at as u16), now_ms);
            }
        }
        if let Some(zone) = input.zone_starts {
            for at in of_zone(zone) {
                self.lives[at] += 1;
                self.envoys[at] = Some(self.start_envoy(at, now_ms));
                self.up[at] = true;
            }
        }
        if input.streams_end {
            self.clients.lose_streams(None, now_ms);
        }
    }

    fn on_answer(&mut self, answer: &Answer, now_ms: u64) {
        self.digest.update(answer.to.number().to_le_bytes());
        self.digest.update(answer.at_ms.to_le_bytes());
        match (answer.to, &answer.said) {
            (Asker::Session { session, .. }, Said::LoggedIn(stamp)) => self.clients.on_login(session, stamp),
            (Asker::Session { session, .. }, _) => self.logins.push(session),
            (
                Asker::Worker {
                    envoy, life, call, ..
                },
                said,
            ) => {
                let at = usize::from(envoy);
                if self.lives[at] != life {
                    return;
                }
                if let Some(envoy) = &mut self.envoys[at] {
                    let outcomes = envoy.answer(CallId(call), said, now_ms);
                    self.note_all(at, &outcomes, now_ms);
                }
            }
        }
    }

    fn act(&mut self, session: u32, action: Action, now_ms: u64) {
        let (place, is_listener) = match action {
            Action::Login => {
                self.logins.push(session);
                return;
            }
            Action::Listen(place) => (place, true),
            Action::Call => (self.clients.any_place(), false),
        };
        if is_listener {
            self.tally.one(Count::Listens);
        }
        let workers = self.options.workers_per_envoy;
        let Some((envoy, worker)) = self.clients.gateway(session, &self.up, workers) else {
            self.tally.one(Count::NoGateway);
            return self
                .clients
                .on_refused(session, is_listener.then_some(place), None, now_ms);
        };
        let server = self.clients.server_at(session, place);
        let (stamp, life_seconds) = self.clients.presented(session, server);
        let (token, handle) = (stamp.text(life_seconds), self.clients.handle(session));
        let request = Request {
            session,
            user: stamp.user,
            place,
            server,
            is_listener,
            token: &token,
            handle: handle.as_deref(),
        };
        let at = usize::from(envoy);
        let outcome = self.envoys[at]
            .as_mut()
            .and_then(|envoy| envoy.request(worker, &request, now_ms));
        if let Some(outcome) = outcome {
            self.note(at, &outcome, now_ms);
        }
    }

    fn note_all(&mut self, envoy: usize, outcomes: &[Outcome], now_ms: u64) {
        for outcome in outcomes {
            self.note(envoy, outcome, now_ms);
        }
    }

    /// A client learns how its request ended.
    fn note(&mut self, envoy: usize, outcome: &Outcome, now_ms: u64) {
        let session = outcome.session;
        let listener = outcome.is_listener.then_some(outcome.place);
        if outcome.status == 200 {
            if let Some(place) = listener {
                self.clients.listens_at(session, place, envoy as u16);
            }
            return self.clients.on_served(session, listener, now_ms);
        }
        if outcome.status == 401 && self.clients.on_unauthorized(session, now_ms) {
            self.tally.one(Count::OwnRenewals);
        }
        self.clients
            .on_refused(session, listener, outcome.retry_after, now_ms);
    }

    fn memory(&self) -> ShardMemory {
        let all = self.envoys.iter().flatten().map(Envoy::held);
        all.fold(ShardMemory::default(), |sum, held: Held| ShardMemory {
            most_of_a_worker: sum.most_of_a_worker.max(held.most_of_a_worker),
            of_all_workers: sum.of_all_workers + held.of_all_workers,
            most_shared: sum.most_shared.max(held.shared),
            all_shared: sum.all_shared + held.shared,
        })
    }
}

/// Digest of all shards, in their order, and of all counts.
pub(crate) fn digest_of(shards: &BTreeMap<usize, [u8; 32]>, counts: &Counts) -> [u8; 32] {
    let mut all = Sha256::new();
    for number in counts.numbers() {
        all.update(number.to_le_bytes());
    }
    for digest in shards.values() {
        all.update(digest);
    }
    all.finalize().into()
}
