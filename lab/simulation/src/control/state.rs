//! All replicas of control, with what they share: the store and the issuers.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokenward_control::observe::throttle::{Emit, Throttle};
use tokenward_control::upstream::policy::Policy;
use tokenward_protocol::filter_state::{FilterState, ServerList};
use tokenward_protocol::refusal::Refusal;

use super::flight::{At, Due, Flight, No};
use super::issuer::Issuer;
use super::limits::Limits;
use super::store::Store;
use crate::count::{Count, Tally};
use crate::message::{Answer, Asker, Call, Said};
use crate::options::{Options, ZONES};
use crate::random::Random;
use crate::servers::Servers;
use crate::token::Stamp;

/// The rules of a configuration that sets nothing.
pub(super) const POLICY: Policy = Policy {
    margin: Duration::from_secs(60),
    suspect_wait: Duration::from_secs(35),
    presentation_limit: Duration::from_secs(39),
    transient_limit: Duration::from_secs(1_800),
    rejected_interval: Duration::from_secs(30),
};
/// How long a caller waits (`caller_deadline`), and an attempt for a lease.
pub(super) const CALLER_DEADLINE_MS: u64 = 4_000;
pub(super) const LEASE_PATIENCE: Duration = Duration::from_secs(120);
/// How long an operation of a store that is away takes to fail (`store.deadline`).
pub(super) const STORE_DEADLINE_MS: u64 = 2_000;
/// One operation of a store that is there.
pub(super) const STORE_MS: u64 = 1;
/// Time from control to a gateway.
const WAY_MS: u64 = 1;
/// Remote issuers.
pub(super) const REMOTES: usize = 3;

/// One replica.
pub(super) struct Replica {
    pub(super) zone: u32,
    pub(super) life: u32,
    pub(super) is_up: bool,
    /// Whether it is out of reach, so that calls to it are not even refused.
    pub(super) is_lost: bool,
    /// Those of the home issuer first.
    pub(super) limits: Vec<Limits>,
    /// When the limits are looked at next, as far as that is planned already.
    pub(super) looks_ms: Vec<Option<u64>>,
    pub(super) refreshes: HashMap<u32, u32>,
    pub(super) exchanges: HashMap<(u32, u16), u32>,
    throttle: Throttle,
}

impl Replica {
    /// A replica that has just started.
    pub(super) fn start(options: &Options, zone: u32, life: u32) -> Self {
        Self {
            zone,
            life,
            is_up: true,
            is_lost: false,
            limits: (0..=REMOTES).map(|_| Limits::new(options.limits)).collect(),
            looks_ms: vec![None; REMOTES + 1],
            refreshes: HashMap::new(),
            exchanges: HashMap::new(),
            throttle: Throttle::new(Duration::from_secs(60)),
        }
    }
}

/// Something at its moment; those of one moment in the order in which they were planned.
struct Planned {
    at_ms: u64,
    order: u64,
    due: Due,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ms, other.order).cmp(&(self.at_ms, self.order))
    }
}

/// Control.
pub(crate) struct Control {
    pub(super) options: Options,
    pub(super) store: Store,
    pub(super) issuer: Issuer,
    /// When each remote issuer has carried out the calls received so far, Unix µs.
    pub(super) remotes_busy_us: [u64; REMOTES],
    pub(super) replicas: Vec<Replica>,
    pub(super) flights: BTreeMap<u32, Flight>,
    pub(super) next_flight: u32,
    pub(super) random: Random,
    pub(super) tally: Tally,
    /// Which replicas the gateways' load balancer takes for healthy.
    pub(super) balanced: Vec<bool>,
    planned: BinaryHeap<Planned>,
    order: u64,
    answers: Vec<Answer>,
    states: [Arc<[u8]>; 2],
}

impl Control {
    /// All replicas, at the beginning of a run.
    pub(crate) fn new(options: &Options) -> Self {
        let replicas = 0..options.replicas;
        let servers = Servers::new(options).published();
        let state = |list| -> Arc<[u8]> {
            let state = FilterState {
                version: 1,
                has_more: false,
                servers: list,
                sign_outs: Vec::new(),
            };
            state.encode().into()
        };
        let list = ServerList {
            version: 1,
            json: servers.as_bytes(),
        };
        Self {
            store: Store::new(options),
            issuer: Issuer::new(options),
            remotes_busy_us: [0; REMOTES],
            replicas: replicas
                .map(|number| Replica::start(options, number % ZONES, 0))
                .collect(),
            flights: BTreeMap::new(),
            next_flight: 0,
            random: Random::new(options.seed, 1),
            tally: Tally::default(),
            balanced: vec![true; options.replicas as usize],
            planned: BinaryHeap::new(),
            order: 0,
            answers: Vec::new(),
            states: [state(Some(list)), state(None)],
            options: options.clone(),
        }
    }

    /// The state for a filter that has the servers of this version.
    pub(super) fn state_after(&self, servers: u64) -> Arc<[u8]> {
        Arc::clone(&self.states[usize::from(servers > 0)])
    }

    /// Lets something happen at a moment.
    pub(super) fn plan(&mut self, at_ms: u64, due: Due) {
        self.order += 1;
        self.planned.push(Planned {
            at_ms,
            order: self.order,
            due,
        });
    }

    /// Takes what is due next, if that is before `until_ms`.
    pub(super) fn next_due(&mut self, until_ms: u64) -> Option<(u64, Due)> {
        if self.planned.peek()?.at_ms >= until_ms {
            return None;
        }
        self.planned.pop().map(|planned| (planned.at_ms, planned.due))
    }

    /// Whether this life of a replica goes on.
    pub(super) fn lives(&self, at: At) -> bool {
        let replica = &self.replicas[at.replica];
        replica.is_up && replica.life == at.life
    }

    /// A caller gets a token of this replica.
    pub(super) fn give(&mut self, at: At, call: &Call, stamp: Stamp, now_ms: u64) {
        self.tally.one(Count::AnsweredToken);
        let throttle = &self.replicas[at.replica].throttle;
        if !throttle.is_calm(now_ms) {
            let _ = throttle.recovered(&key_of(call));
        }
        let life_seconds = self.options.token_life_seconds;
        self.say(call.from, Said::Token { stamp, life_seconds }, now_ms);
    }

    /// A caller gets none.
    pub(super) fn refuse(&mut self, at: At, call: &Call, no: No, now_ms: u64) {
        self.tally.one(Count::AnsweredRefused);
        self.tally.one(match no.refusal {
            Refusal::IssuerUnavailable | Refusal::ExchangeUnavailable => Count::RefusedIssuer,
            Refusal::StoreUnavailable => Count::RefusedStore,
            Refusal::NeedsLogin | Refusal::UnknownSession | Refusal::TokenExpired => Count::RefusedLogin,
            _ => Count::RefusedBusy,
        });
        let throttle = &self.replicas[at.replica].throttle;
        if matches!(throttle.failed(&key_of(call), now_ms), Emit::Warn { .. }) {
            self.tally.one(Count::WarnControl);
        }
        let said = Said::Refused {
            refusal: no.refusal,
            retry_after_seconds: no.retry_after_seconds,
        };
        self.say(call.from, said, now_ms);
    }

    /// Sends an answer.
    pub(super) fn say(&mut self, to: Asker, said: Said, now_ms: u64) {
        self.answers.push(Answer {
            at_ms: now_ms + WAY_MS,
            to,
            said,
        });
    }

    /// Takes the answers so far, in the order of their arrival.
    pub(super) fn take_answers(&mut self) -> Vec<Answer> {
        let mut answers = std::mem::take(&mut self.answers);
        answers.sort_by_key(|answer| (answer.at_ms, answer.to));
        answers
    }

    /// Logins that have not ended and whose token is stale; logins that have ended.
    pub(crate) fn logins(&self, now_ms: u64) -> (u64, u64) {
        (
            self.issuer.stale(POLICY.margin.as_secs(), now_ms),
            self.issuer.ended(),
        )
    }

    /// Bytes of all grants' records as they are here, and the number of exchanged tokens.
    pub(crate) fn store_size(&self) -> (usize, usize) {
        self.store.size()
    }

    /// Refreshes and exchanges under way.
    pub(crate) fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// The counts.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// The key of control's throttle: a user at a server.
fn key_of(call: &Call) -> String {
    match call.ask {
        crate::message::Ask::Token {
            presented, server, ..
        } => format!("{server}/{}", presented.user),
        crate::message::Ask::State { .. } | crate::message::Ask::Login(_) => String::new(),
    }
}
