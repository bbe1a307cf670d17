//! One VM: its root contexts and streams by context id. A callback for an unknown context does nothing, or refuses.

use std::cell::RefCell;

use super::calls::{self, Action};
use super::root::Root;
use super::stream::{self, Stream};
use super::streams::Streams;

thread_local! {
    static VM: RefCell<Vm> = const { RefCell::new(Vm::new()) };
}

/// Acts on this VM. The host never calls back into the module while a callback runs, except `malloc`, which does not use the
/// VM; otherwise the inner callback does nothing (`None`).
pub(super) fn with<T>(act: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| vm.try_borrow_mut().ok().map(|mut vm| act(&mut vm)))
}

/// Streams that may be stored before the first sweep for closed ones.
const FIRST_SWEEP: usize = 1024;
/// Ticks (100 ms each) between two sweeps at the most: a closed stream holds its filter, and with it all that a filter of an
/// earlier configuration remembers.
const SWEEP_TICKS: u32 = 100;

pub(super) struct Vm {
    /// One per configuration: a new one comes with each push, an old one lives until its listener is drained.
    roots: Vec<(u32, Root)>,
    /// The stream that began last, and its root context. Nearly always its request's headers come next, so no more is stored of
    /// it until it is forwarded.
    begun: Option<(u32, u32)>,
    /// Forwarded and paused streams without a response yet, and those that began before `begun` and have shown no headers. The
    /// module exports no callback for the end of a stream: that would be one more entry into the VM for every request, and
    /// nearly all get a response. Sweeps remove the others.
    streams: Streams,
    sweep_at: usize,
    ticks: u32,
}

impl Vm {
    const fn new() -> Self {
        Self {
            roots: Vec::new(),
            begun: None,
            streams: Streams::new(),
            sweep_at: FIRST_SWEEP,
            ticks: 0,
        }
    }

    fn root(&mut self, context: u32) -> Option<&mut Root> {
        let mut roots = self.roots.iter_mut();
        roots.find(|(id, _)| *id == context).map(|(_, root)| root)
    }

    pub(super) fn create(&mut self, context: u32, root: u32) {
        if root == 0 {
            self.streams.make_places();
            self.roots.push((context, Root::new(context)));
            return;
        }
        if let Some((other, root)) = self.begun.replace((context, root)) {
            self.remember(context, other, Stream::Begun(root));
        }
    }

    fn remember(&mut self, running: u32, context: u32, stream: Stream) {
        if self.streams.others() >= self.sweep_at {
            self.sweep(running);
        }
        self.streams.insert(context, stream);
    }

    /// Removes closed streams. The next sweep comes when as many again have been added as remain now, so each stream is
    /// checked at most twice, on average.
    #[cold]
    #[inline(never)]
    fn sweep(&mut self, running: u32) {
        self.streams.retain(calls::stream_exists);
        // This context exists as long as its callback runs.
        let _ = calls::set_effective_context(running);
        self.sweep_at = self.streams.others().saturating_mul(2).max(FIRST_SWEEP);
        self.ticks = 0;
    }

    pub(super) fn configure(&mut self, root: u32) {
        // Each configuration has a root context of its own; it is deleted once its listener is drained.
        let exists = |(context, _): &(u32, Root)| calls::stream_exists(*context);
        let gone: Vec<_> = self.roots.extract_if(.., |root| !exists(root)).collect();
        let _ = calls::set_effective_context(root);
        gone.iter().for_each(|(_, root)| root.report_counts());
        if let Some(root) = self.root(root) {
            root.configure();
        }
    }

    pub(super) fn tick(&mut self, root: u32) {
        if let Some(root) = self.root(root) {
            root.tick();
        }
        self.forget_replied(root);
        self.ticks = self.ticks.saturating_add(1);
        if self.ticks >= SWEEP_TICKS {
            self.sweep(root);
        }
    }

    pub(super) fn request_headers(&mut self, context: u32) -> Action {
        let root = match self.begun {
            Some((begun, root)) if begun == context => {
                self.begun = None;
                Some(root)
            }
            _ => self.streams.remove(context).and_then(Stream::root),
        };
        let Some(root) = root.and_then(|root| self.root(root)) else {
            return stream::refuse();
        };
        let (action, forwarded) = stream::request_headers(root.filter(), context);
        if let Some(forwarded) = forwarded {
            self.remember(context, context, forwarded);
        }
        action
    }

    pub(super) fn response_headers(&mut self, context: u32) {
        if let Some(Stream::Forwarded(filter, watch)) = self.streams.remove(context) {
            stream::response_headers(&filter, &watch, context);
        }
    }

    pub(super) fn call_response(&mut self, root: u32, call: u32, headers: usize, body_bytes: usize) {
        if let Some(root) = self.root(root) {
            root.call_response(call, headers, body_bytes);
        }
        self.forget_replied(root);
    }

    /// Drops the streams that got a reply while they waited: their next response is not the server's.
    fn forget_replied(&mut self, root: u32) {
        for stream in self.root(root).map(Root::take_replied).unwrap_or_default() {
            self.streams.remove(stream.0);
        }
    }
}
