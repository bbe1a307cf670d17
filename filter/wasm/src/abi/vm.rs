//! One VM: its root contexts and streams by context id. A callback for an unknown context does nothing, or refuses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::calls::{self, Action};
use super::root::Root;
use super::stream::Stream;

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
    /// Streams without a response yet. The module exports no callback for the end of a stream: that would be one more entry
    /// into the VM for every request, and nearly all get a response. Sweeps remove the others.
    streams: HashMap<u32, Stream, BuildHasherDefault<ContextIdHasher>>,
    sweep_at: usize,
    ticks: u32,
}

impl Vm {
    const fn new() -> Self {
        Self {
            roots: Vec::new(),
            streams: HashMap::with_hasher(BuildHasherDefault::new()),
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
            self.roots.push((context, Root::new(context)));
            return;
        }
        if self.streams.len() >= self.sweep_at {
            self.sweep(context);
        }
        if let Some(root) = self.root(root) {
            let stream = Stream::new(root.filter());
            self.streams.insert(context, stream);
        }
    }

    /// Removes closed streams. The next sweep comes when as many again have been added as remain now, so each stream is
    /// checked at most twice, on average.
    fn sweep(&mut self, running: u32) {
        self.streams.retain(|context, _| calls::stream_exists(*context));
        // This context exists as long as its callback runs.
        let _ = calls::set_effective_context(running);
        self.sweep_at = self.streams.len().saturating_mul(2).max(FIRST_SWEEP);
        self.ticks = 0;
    }

    pub(super) fn configure(&mut self, root: u32) {
        // Each configuration has a root context of its own; it is deleted once its listener is drained.
        self.roots.retain(|(context, _)| calls::stream_exists(*context));
        let _ = calls::set_effective_context(root);
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
        match self.streams.get_mut(&context) {
            Some(stream) => stream.request_headers(context),
            None => Stream::refuse(),
        }
    }

    pub(super) fn response_headers(&mut self, context: u32) {
        if let Some(stream) = self.streams.remove(&context) {
            stream.response_headers(context);
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
            self.streams.remove(&stream.0);
        }
    }
}

/// Uses the number itself as its hash: only for ids that the host counts up.
#[derive(Debug, Default, Clone, Copy)]
struct ContextIdHasher(u64);

impl Hasher for ContextIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
        self.0 = u64::from_le_bytes(first);
    }

    fn write_u32(&mut self, number: u32) {
        // The table takes the place from the low bits and the tag from the high ones: a counter fills only the former.
        self.0 = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
