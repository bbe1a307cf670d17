//! What the host holds for one VM: its contexts, timers, metric ids, and what must wait until the VM returns.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::callout::CalloutArrival;
use super::metrics::MetricKind;
use super::stream::{LocalReply, StreamState};

/// The two directions of `proxy_continue_stream` and `proxy_close_stream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// Envoy defers these until the VM call returns.
pub(crate) enum Deferred {
    Continue(u32, Direction),
    LocalReply(u32, LocalReply),
    Close(u32),
    DeleteRoot(u32),
}

/// A root context: one plugin configuration on one VM.
#[derive(Default)]
pub(crate) struct Root {
    pub(crate) plugin_configuration: Vec<u8>,
    pub(crate) tick_period_ms: u32,
    pub(crate) tick_due_ms: Option<u64>,
    pub(crate) shutting_down: bool,
}

/// The books of one VM.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) streams: BTreeMap<u32, Rc<RefCell<StreamState>>>,
    pub(crate) roots: BTreeMap<u32, Root>,
    /// The root context that new streams get.
    pub(crate) current_root: u32,
    pub(crate) effective: u32,
    pub(crate) arrival: Option<CalloutArrival>,
    pub(crate) callout_status: (u32, &'static str),
    pub(crate) metric_ids: BTreeMap<u32, (MetricKind, String)>,
    pub(crate) deferred: VecDeque<Deferred>,
    /// During `_initialize` only logs and WASI are allowed.
    pub(crate) restricted: bool,
    pub(crate) dead: bool,
    last_context: u32,
    callouts_sent: u32,
    random_state: u64,
}

impl Ledger {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            random_state: seed,
            ..Self::default()
        }
    }

    pub(crate) fn new_context(&mut self) -> u32 {
        self.last_context += 1;
        self.last_context
    }

    /// Tokens of HTTP callouts are 4, 8, 12 … in every VM.
    pub(crate) fn new_callout_token(&mut self) -> u32 {
        self.callouts_sent += 1;
        self.callouts_sent << 2
    }

    pub(crate) fn stream(&self, context: u32) -> Option<Rc<RefCell<StreamState>>> {
        self.streams.get(&context).cloned()
    }

    pub(crate) fn effective_stream(&self) -> Option<Rc<RefCell<StreamState>>> {
        self.stream(self.effective)
    }

    /// The root context that `context` belongs to, itself included.
    pub(crate) fn root_of(&self, context: u32) -> u32 {
        match self.streams.get(&context) {
            Some(stream) => stream.borrow().root,
            None => context,
        }
    }

    pub(crate) fn knows(&self, context: u32) -> bool {
        self.streams.contains_key(&context) || self.roots.contains_key(&context)
    }

    /// Splitmix64: the same bytes in every run, other bytes in every VM.
    pub(crate) fn random_bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            self.random_state = self.random_state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = self.random_state;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            bytes.extend((word ^ (word >> 31)).to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
