//! The Envoy process around the VMs: everything that they share.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};

use super::callout::{Callout, CalloutArrival, CalloutReply};
use super::clock::Clock;
use super::gateway_builder::CrashPolicy;
use super::metrics::Metrics;
use super::properties::Properties;
use super::race::Races;
use super::recording::{LogLevel, Record, Thread};
use super::shared_data::SharedData;
use super::shared_queues::SharedQueues;
use super::stream::{ForwardedRequest, UpstreamReply};

pub(crate) type CalloutScript = Box<dyn FnMut(&Callout) -> CalloutReply>;
pub(crate) type UpstreamScript = Box<dyn FnMut(&ForwardedRequest) -> UpstreamReply>;

/// The owner that is notified of a queue's items: whichever VM of that module version lives on that thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueOwner {
    pub(crate) thread: Thread,
    pub(crate) generation: usize,
    pub(crate) context: u32,
}

/// Something that a VM's thread does when it is next free.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Post {
    QueueReady(QueueOwner, u32),
    Upstream { vm: usize, context: u32 },
}

/// A callout that has not come back.
pub(crate) struct InFlight {
    pub(crate) due_ms: u64,
    pub(crate) vm: usize,
    pub(crate) root: u32,
    pub(crate) token: u32,
    pub(crate) arrival: CalloutArrival,
}

/// What does not change while the gateway runs.
pub(crate) struct Settings {
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) clusters: BTreeSet<String>,
    pub(crate) vm_id: String,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) on_crash: CrashPolicy,
    pub(crate) automatic_ticks: bool,
    pub(crate) fuel_per_callback: u64,
}

/// State that outlives VMs.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) clock: RefCell<Clock>,
    pub(crate) shared_data: RefCell<SharedData>,
    pub(crate) queues: RefCell<SharedQueues<QueueOwner>>,
    pub(crate) metrics: RefCell<Metrics>,
    pub(crate) record: RefCell<Record>,
    pub(crate) properties: RefCell<Properties>,
    pub(crate) log_level: Cell<LogLevel>,
    pub(crate) callouts: RefCell<Vec<Callout>>,
    pub(crate) callout_script: RefCell<Option<CalloutScript>>,
    pub(crate) upstream_script: RefCell<Option<UpstreamScript>>,
    pub(crate) forwarded: RefCell<Vec<ForwardedRequest>>,
    pub(crate) races: RefCell<Races>,
    pub(crate) posts: RefCell<VecDeque<Post>>,
    pub(crate) in_flight: RefCell<Vec<InFlight>>,
    /// Header maps are handed over with so many bytes at the most.
    pub(crate) most_header_bytes: Cell<usize>,
}

impl Process {
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.clock.borrow().elapsed_ms()
    }

    /// Asks the callout script; without one every upstream is silent.
    pub(crate) fn reply_to(&self, callout: &Callout) -> CalloutReply {
        // Taken out while it runs, so that a script may itself make requests.
        let Some(mut script) = self.callout_script.borrow_mut().take() else {
            return CalloutReply::Silent;
        };
        let reply = script(callout);
        self.callout_script.borrow_mut().get_or_insert(script);
        reply
    }

    /// Asks the upstream script; without one every forwarded request stays open.
    pub(crate) fn upstream_reply_to(&self, request: &ForwardedRequest) -> UpstreamReply {
        let Some(mut script) = self.upstream_script.borrow_mut().take() else {
            return UpstreamReply::StayOpen;
        };
        let reply = script(request);
        self.upstream_script.borrow_mut().get_or_insert(script);
        reply
    }
}
