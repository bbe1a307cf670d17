//! N workers and a main thread, each with a VM of the module, over one shared process state.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use wasmtime::InstancePre;

use super::callout::{Callout, CalloutReply};
use super::gateway_builder::GatewayBuilder;
use super::imports;
use super::metrics::Metrics;
use super::module::WasmModule;
use super::process::Process;
use super::recording::{Crash, HostCalls, LogLevel, LogLine, Record, Thread};
use super::shared_data::SharedData;
use super::stream::ForwardedRequest;
pub use super::vm::StartFailure;
use super::vm::{Vm, VmState};
use super::worker::Worker;

/// The gateway: cloning gives another handle on the same one.
#[derive(Clone)]
pub struct Gateway(Rc<Inner>);

struct Inner {
    process: Rc<Process>,
    build: RefCell<Build>,
    /// The VM that serves new requests, by thread.
    serving: RefCell<BTreeMap<Thread, Rc<Vm>>>,
    /// VMs of earlier modules: they finish their streams.
    draining: RefCell<Vec<Rc<Vm>>>,
    vms_made: Cell<usize>,
}

#[derive(Clone)]
struct Build {
    module: InstancePre<VmState>,
    generation: usize,
    plugin_configuration: Vec<u8>,
}

impl Gateway {
    /// A gateway to be put together.
    #[must_use]
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    pub(crate) fn start(
        process: Process,
        module: &WasmModule,
        workers: usize,
        plugin_configuration: Vec<u8>,
    ) -> Result<Self, StartFailure> {
        let build = Build {
            module: imports::link(module)?,
            generation: 0,
            plugin_configuration,
        };
        let gateway = Self(Rc::new(Inner {
            process: Rc::new(process),
            build: RefCell::new(build.clone()),
            serving: RefCell::default(),
            draining: RefCell::default(),
            vms_made: Cell::new(0),
        }));
        gateway.boot(&build, Thread::Main)?;
        gateway.try_on_canary(&build)?;
        for thread in std::iter::once(Thread::Main).chain((0..workers).map(Thread::Worker)) {
            let vm = gateway.boot_and_configure(&build, thread)?;
            gateway.0.serving.borrow_mut().insert(thread, vm);
        }
        gateway.settle();
        Ok(gateway)
    }

    /// A worker, counted from 0.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn worker(&self, index: usize) -> Worker {
        self.on(Thread::Worker(index))
    }

    /// The main thread: no requests, but a VM that ticks.
    #[must_use]
    pub fn main_thread(&self) -> Worker {
        self.on(Thread::Main)
    }

    /// How many workers there are.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.0.serving.borrow().len() - 1
    }

    fn on(&self, thread: Thread) -> Worker {
        assert!(
            self.0.serving.borrow().contains_key(&thread),
            "no {thread:?} here"
        );
        Worker::new(self.clone(), thread)
    }

    /// A new plugin configuration reaches the same VMs as a second root context. The old one retains its streams,
    /// ticks and callouts until [`Gateway::drain_old_configuration`]. A dead VM is replaced.
    ///
    /// # Errors
    /// The canary refused it: nothing has changed (Envoy's NACK).
    pub fn update_configuration(&self, plugin_configuration: impl Into<Vec<u8>>) -> Result<(), StartFailure> {
        let mut build = self.0.build.borrow().clone();
        build.plugin_configuration = plugin_configuration.into();
        self.try_on_canary(&build)?;
        let serving: Vec<Rc<Vm>> = self.0.serving.borrow().values().cloned().collect();
        let (dead, alive): (Vec<_>, Vec<_>) = serving.into_iter().partition(|vm| vm.is_dead());
        for vm in alive {
            vm.start_root(&build.plugin_configuration)?;
        }
        self.0.build.replace(build);
        for vm in dead {
            self.replace_vm(vm.thread)?;
        }
        self.settle();
        Ok(())
    }

    /// Ends the root contexts of configurations that were replaced.
    pub fn drain_old_configuration(&self) {
        for vm in self.vms() {
            let old: Vec<u32> = {
                let ledger = vm.ledger.borrow();
                ledger
                    .roots
                    .keys()
                    .copied()
                    .filter(|root| *root != ledger.current_root)
                    .collect()
            };
            old.into_iter().for_each(|root| vm.stop_root(root));
        }
        self.settle();
    }

    /// Another module takes over with new VMs and the same shared data; the old VMs finish their streams.
    ///
    /// # Errors
    /// The new module does not start: nothing has changed.
    pub fn replace_module(&self, module: &WasmModule) -> Result<(), StartFailure> {
        let mut build = self.0.build.borrow().clone();
        build.module = imports::link(module)?;
        build.generation += 1;
        self.try_on_canary(&build)?;
        let threads: Vec<Thread> = self.0.serving.borrow().keys().copied().collect();
        for thread in threads {
            let vm = self.boot_and_configure(&build, thread)?;
            let old = self.0.serving.borrow_mut().insert(thread, vm);
            self.0.draining.borrow_mut().extend(old);
        }
        self.0.build.replace(build);
        self.settle();
        Ok(())
    }

    /// Ends the VMs of earlier modules; callouts of theirs are lost.
    pub fn drain_old_modules(&self) {
        self.0.draining.borrow_mut().clear();
    }

    /// Runs `interlude` when that worker makes its `nth` call (1 is the next one) of the import `function`,
    /// before the call takes effect. Inside, only *other* workers may be used.
    pub fn race(
        &self,
        worker: usize,
        function: &'static str,
        nth: usize,
        interlude: impl FnOnce(&Self) + 'static,
    ) {
        // Weak: a gateway that waits for its own moment would never be freed.
        let inner = Rc::downgrade(&self.0);
        let interlude = Box::new(move || {
            if let Some(inner) = inner.upgrade() {
                interlude(&Self(inner));
            }
        });
        self.process()
            .races
            .borrow_mut()
            .place(Thread::Worker(worker), function, nth, interlude);
    }

    /// How many [`Gateway::race`]s never had their moment.
    #[must_use]
    pub fn races_waiting(&self) -> usize {
        self.process().races.borrow().waiting()
    }

    /// Wall time, Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.process().clock.borrow().now_ms()
    }

    /// Steps the wall clock without time passing; negative is back.
    pub fn step_wall_clock_ms(&self, by_ms: i64) {
        self.process().clock.borrow_mut().step_wall_ms(by_ms);
    }

    /// Replaces the callout script.
    pub fn script_callouts(&self, script: impl FnMut(&Callout) -> CalloutReply + 'static) {
        self.process().callout_script.replace(Some(Box::new(script)));
    }

    /// Changes the host's log level.
    pub fn set_log_level(&self, level: LogLevel) {
        self.process().log_level.set(level);
    }

    /// Cuts the header maps that the host hands over after so many bytes: what no host may do.
    pub fn cut_header_maps(&self, most_bytes: usize) {
        self.process().most_header_bytes.set(most_bytes);
    }

    /// Every callout that was tried, in order.
    #[must_use]
    pub fn callouts(&self) -> Vec<Callout> {
        self.process().callouts.borrow().clone()
    }

    /// Callouts whose answer is still to come.
    #[must_use]
    pub fn callouts_in_flight(&self) -> usize {
        self.process().in_flight.borrow().len()
    }

    /// Every request that reached the upstream, in order.
    #[must_use]
    pub fn forwarded(&self) -> Vec<ForwardedRequest> {
        self.process().forwarded.borrow().clone()
    }

    /// Every log line, in order.
    #[must_use]
    pub fn logs(&self) -> Vec<LogLine> {
        self.record(|record| record.logs.clone())
    }

    /// Every host call since the start or [`Gateway::forget_host_calls`], in order.
    #[must_use]
    pub fn host_calls(&self) -> HostCalls {
        HostCalls(self.record(|record| record.host_calls.clone()))
    }

    /// Resets the counts of host calls and instructions.
    pub fn forget_host_calls(&self) {
        let mut record = self.process().record.borrow_mut();
        record.host_calls.clear();
        record.instructions.clear();
    }

    /// Units of fuel (about one per wasm instruction) used since the start or [`Gateway::forget_host_calls`]:
    /// the same in every run.
    #[must_use]
    pub fn instructions(&self) -> u64 {
        self.record(|record| record.instructions.values().sum())
    }

    /// [`Gateway::instructions`], by the callback that used them.
    #[must_use]
    pub fn instructions_by_callback(&self) -> BTreeMap<&'static str, u64> {
        self.record(|record| record.instructions.clone())
    }

    /// How often a callback was entered on a thread.
    #[must_use]
    pub fn callback_count(&self, thread: Thread, callback: &'static str) -> usize {
        self.record(|record| {
            record
                .callbacks
                .get(&(thread, callback))
                .copied()
                .unwrap_or_default()
        })
    }

    /// Every trap, in order.
    #[must_use]
    pub fn crashes(&self) -> Vec<Crash> {
        self.record(|record| record.crashes.clone())
    }

    /// All stats.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.process().metrics.borrow().clone()
    }

    /// A copy of the shared data, to look at.
    #[must_use]
    pub fn shared_data(&self) -> SharedData {
        self.process().shared_data.borrow().clone()
    }

    /// Overwrites a key of the shared data, as a VM of another filter version might.
    pub fn overwrite_shared_data(&self, key: &[u8], value: &[u8]) {
        let overwritten = self.process().shared_data.borrow_mut().set(key, value, 0);
        assert!(overwritten.is_ok(), "cas 0 overwrites");
    }

    /// How many shared queues exist.
    #[must_use]
    pub fn shared_queue_count(&self) -> usize {
        self.process().queues.borrow().count()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.0.process
    }

    pub(crate) fn vms(&self) -> Vec<Rc<Vm>> {
        let serving = self.0.serving.borrow();
        serving
            .values()
            .cloned()
            .chain(self.0.draining.borrow().iter().cloned())
            .collect()
    }

    pub(crate) fn vm_by_serial(&self, serial: usize) -> Option<Rc<Vm>> {
        self.vms().into_iter().find(|vm| vm.serial == serial)
    }

    pub(crate) fn vm_on(&self, thread: Thread, generation: usize) -> Option<Rc<Vm>> {
        self.vms()
            .into_iter()
            .find(|vm| vm.thread == thread && vm.generation == generation)
    }

    fn record<T>(&self, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.process().record.borrow())
    }

    fn boot(&self, build: &Build, thread: Thread) -> Result<Rc<Vm>, StartFailure> {
        let serial = self.0.vms_made.replace(self.0.vms_made.get() + 1);
        Vm::boot(&self.0.process, &build.module, thread, build.generation, serial)
    }

    fn boot_and_configure(&self, build: &Build, thread: Thread) -> Result<Rc<Vm>, StartFailure> {
        let vm = self.boot(build, thread)?;
        vm.start_root(&build.plugin_configuration)?;
        Ok(vm)
    }

    /// Envoy tries every configuration on a VM that it then throws away; what that VM did to shared data stays.
    fn try_on_canary(&self, build: &Build) -> Result<(), StartFailure> {
        self.boot_and_configure(build, Thread::Main).map(drop)
    }

    /// A new VM of the present module and configuration takes the place of the one on `thread`.
    pub(super) fn replace_vm(&self, thread: Thread) -> Result<(), StartFailure> {
        let build = self.0.build.borrow().clone();
        let vm = self.boot_and_configure(&build, thread)?;
        let old = self.0.serving.borrow_mut().insert(thread, vm);
        if let Some(old) = old {
            old.ledger.borrow_mut().dead = true;
        }
        self.settle();
        Ok(())
    }

    pub(super) fn serving_on(&self, thread: Thread) -> Rc<Vm> {
        Rc::clone(&self.0.serving.borrow()[&thread])
    }
}
