//! One thread of a gateway: requests go in here.

use serde_json::Value;

use super::gateway::Gateway;
use super::headers::Headers;
use super::properties::Properties;
use super::recording::Thread;
use super::stream::Stream;
use super::vm::StartFailure;

/// One thread of the gateway and the VM that serves there.
#[derive(Clone)]
pub struct Worker {
    gateway: Gateway,
    thread: Thread,
}

impl Worker {
    pub(super) fn new(gateway: Gateway, thread: Thread) -> Self {
        Self { gateway, thread }
    }

    /// Sends a request without a body and runs it until the filter has decided or waits.
    #[must_use]
    pub fn request(&self, headers: Headers) -> Stream {
        self.send(headers, None, Properties::new())
    }

    /// Sends a request with a body; the filter sees it in one piece.
    #[must_use]
    pub fn request_with_body(&self, headers: Headers, body: impl Into<Vec<u8>>) -> Stream {
        self.send(headers, Some(body.into()), Properties::new())
    }

    /// Sends a request with properties of its own (its route, for example), which go before the gateway's.
    ///
    /// # Panics
    /// On the main thread.
    #[must_use]
    pub fn send(&self, headers: Headers, body: Option<Vec<u8>>, properties: Properties) -> Stream {
        assert!(self.thread != Thread::Main, "the main thread has no requests");
        let vm = self.gateway.serving_on(self.thread);
        let state = vm.open_stream(headers, body, properties);
        let stream = Stream {
            gateway: self.gateway.clone(),
            vm,
            state,
        };
        self.gateway.settle();
        stream
    }

    /// Sends a request whose route has these annotations (see [`Properties::set_route_annotations`]).
    #[must_use]
    pub fn request_on_route(&self, headers: Headers, annotations: &[(&str, &str)]) -> Stream {
        let mut properties = Properties::new();
        properties.set_route_annotations(annotations);
        self.send(headers, None, properties)
    }

    /// Sends a request whose route has this `filter_metadata`.
    #[must_use]
    pub fn request_with_metadata(&self, headers: Headers, filter_metadata: Value) -> Stream {
        let mut properties = Properties::new();
        properties.set_route_metadata(filter_metadata);
        self.send(headers, None, properties)
    }

    /// One tick of every root context of this VM, now.
    pub fn tick(&self) {
        let vm = self.gateway.serving_on(self.thread);
        let roots: Vec<u32> = vm.ledger.borrow().roots.keys().copied().collect();
        for root in roots {
            super::timeline::tick(&vm, root);
        }
        self.gateway.settle();
    }

    /// The tick period of every root context of this VM, 0 for none; the newest configuration is last.
    #[must_use]
    pub fn tick_periods_ms(&self) -> Vec<u32> {
        let vm = self.gateway.serving_on(self.thread);
        let ledger = vm.ledger.borrow();
        ledger.roots.values().map(|root| root.tick_period_ms).collect()
    }

    /// How many streams this VM still knows.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.gateway.serving_on(self.thread).ledger.borrow().streams.len()
    }

    /// Bytes of the VM's linear memory, which never shrinks.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.gateway.serving_on(self.thread).memory_bytes()
    }

    /// Whether the VM trapped: every further request gets 503, and what is paused in it hangs.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.gateway.serving_on(self.thread).is_dead()
    }

    /// A new VM takes this one's place (FAIL_RELOAD): new statics, same shared data and metrics. Paused streams
    /// and callouts of the old one are lost.
    ///
    /// # Errors
    /// The new VM does not start.
    pub fn reload(&self) -> Result<(), StartFailure> {
        self.gateway.replace_vm(self.thread)
    }
}
