//! One VM: a store, an instance, and the way into it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use wasmtime::{Instance, InstancePre, Memory, Store, Trap, TypedFunc, Val};

use super::gateway_builder::CrashPolicy;
use super::ledger::{Ledger, Root};
use super::module;
use super::process::Process;
use super::recording::{Crash, Thread};

/// Why a VM or a configuration did not start.
#[derive(Debug, Clone)]
pub enum StartFailure {
    /// The module cannot be linked or instantiated.
    Instantiate(String),
    /// A callback trapped.
    Trapped {
        /// The callback.
        callback: &'static str,
        /// The trap.
        message: String,
    },
    /// `proxy_on_vm_start` or `proxy_on_configure` returned false.
    Refused(&'static str),
}

impl fmt::Display for StartFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instantiate(error) => write!(formatter, "the module cannot be instantiated: {error}"),
            Self::Trapped { callback, message } => write!(formatter, "{callback} trapped: {message}"),
            Self::Refused(callback) => write!(formatter, "{callback} returned false"),
        }
    }
}

impl std::error::Error for StartFailure {}

/// What host functions see of their VM.
pub(crate) struct VmState {
    pub(crate) process: Rc<Process>,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    pub(crate) serial: usize,
    pub(crate) generation: usize,
    pub(crate) thread: Thread,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<i32, i32>>,
}

/// What came of calling an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// The module has no such export.
    Missing,
    /// It returned this (0 where it returns nothing).
    Returned(i32),
    /// The VM is or became dead.
    Dead,
}

struct Machine {
    store: Store<VmState>,
    instance: Instance,
}

/// One VM on one thread.
pub(crate) struct Vm {
    pub(crate) serial: usize,
    pub(crate) generation: usize,
    pub(crate) thread: Thread,
    pub(crate) process: Rc<Process>,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    machine: RefCell<Machine>,
}

impl Vm {
    /// Instantiates the module and runs `_initialize`.
    pub(crate) fn boot(
        process: &Rc<Process>,
        module: &InstancePre<VmState>,
        thread: Thread,
        generation: usize,
        serial: usize,
    ) -> Result<Rc<Self>, StartFailure> {
        let seed = u64::try_from(serial).expect("few VMs");
        let ledger = Rc::new(RefCell::new(Ledger::seeded(seed)));
        let state = VmState {
            process: Rc::clone(process),
            ledger: Rc::clone(&ledger),
            serial,
            generation,
            thread,
            memory: None,
            allocate: None,
        };
        let mut store = Store::new(module::engine(), state);
        let failed = |error: wasmtime::Error| StartFailure::Instantiate(format!("{error:?}"));
        store
            .set_fuel(process.settings.fuel_per_callback)
            .map_err(failed)?;
        let instance = module.instantiate(&mut store).map_err(failed)?;
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| StartFailure::Instantiate("no export `memory`".into()))?;
        let allocate = ["malloc", "proxy_on_memory_allocate"]
            .into_iter()
            .find_map(|name| instance.get_typed_func(&mut store, name).ok());
        store.data_mut().memory = Some(memory);
        store.data_mut().allocate = allocate;
        let vm = Rc::new(Self {
            serial,
            generation,
            thread,
            process: Rc::clone(process),
            ledger,
            machine: RefCell::new(Machine { store, instance }),
        });
        vm.ledger.borrow_mut().restricted = true;
        let initialized = vm.enter("_initialize", 0, &[]);
        vm.ledger.borrow_mut().restricted = false;
        vm.must_not_be_dead(initialized, "_initialize")?;
        Ok(vm)
    }

    /// Creates a root context and configures it; streams that come later belong to it.
    pub(crate) fn start_root(self: &Rc<Self>, plugin_configuration: &[u8]) -> Result<u32, StartFailure> {
        let vm_bytes = size(&self.process.settings.vm_configuration);
        let plugin_bytes = size(plugin_configuration);
        let root = self.ledger.borrow_mut().new_context();
        let entry = Root {
            plugin_configuration: plugin_configuration.to_vec(),
            ..Root::default()
        };
        self.ledger.borrow_mut().roots.insert(root, entry);
        let created = self.enter("proxy_on_context_create", root, &[word(root), 0]);
        self.must_not_be_dead(created, "proxy_on_context_create")?;
        for (callback, bytes) in [
            ("proxy_on_vm_start", vm_bytes),
            ("proxy_on_configure", plugin_bytes),
        ] {
            let answer = self.enter(callback, root, &[word(root), bytes]);
            self.must_not_be_dead(answer, callback)?;
            if answer == Entered::Returned(0) {
                self.ledger.borrow_mut().roots.remove(&root);
                return Err(StartFailure::Refused(callback));
            }
        }
        self.ledger.borrow_mut().current_root = root;
        Ok(root)
    }

    /// Ends a root context whose configuration was replaced.
    pub(crate) fn stop_root(self: &Rc<Self>, root: u32) {
        if let Some(entry) = self.ledger.borrow_mut().roots.get_mut(&root) {
            entry.shutting_down = true;
            entry.tick_due_ms = None;
        }
        if self.enter("proxy_on_done", root, &[word(root)]) != Entered::Returned(0) {
            self.delete_root(root);
        }
    }

    pub(crate) fn delete_root(self: &Rc<Self>, root: u32) {
        self.enter("proxy_on_delete", root, &[word(root)]);
        self.ledger.borrow_mut().roots.remove(&root);
    }

    /// Bytes of its linear memory, which never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        let machine = self.machine.borrow();
        let memory = machine.store.data().memory;
        memory.map_or(0, |memory| memory.data_size(&machine.store))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.ledger.borrow().dead
    }

    /// Whether its thread is inside the VM right now (a race's interlude runs).
    pub(crate) fn is_busy(&self) -> bool {
        self.machine.try_borrow().is_err()
    }

    /// Calls an export for `context`, then does what the VM deferred.
    pub(crate) fn enter(self: &Rc<Self>, callback: &'static str, context: u32, arguments: &[i32]) -> Entered {
        if self.is_dead() {
            return Entered::Dead;
        }
        let entered = self.call(callback, context, arguments);
        while let Some(action) = self.next_deferred() {
            self.run_deferred(action);
        }
        entered
    }

    fn next_deferred(&self) -> Option<super::ledger::Deferred> {
        self.ledger.borrow_mut().deferred.pop_front()
    }

    fn call(&self, callback: &'static str, context: u32, arguments: &[i32]) -> Entered {
        let mut machine = self.machine.try_borrow_mut().unwrap_or_else(|_| {
            panic!(
                "{:?} is inside its VM: an interlude of a race may use only other workers",
                self.thread
            )
        });
        let Machine { store, instance } = &mut *machine;
        let Some(function) = instance.get_func(&mut *store, callback) else {
            return Entered::Missing;
        };
        let outer = std::mem::replace(&mut self.ledger.borrow_mut().effective, context);
        let fuel = self.process.settings.fuel_per_callback;
        store.set_fuel(fuel).expect("the engine counts fuel");
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(*argument)).collect();
        let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
        let called = function.call(&mut *store, &arguments, &mut results);
        self.ledger.borrow_mut().effective = outer;
        let used = fuel - store.get_fuel().expect("the engine counts fuel");
        drop(machine);
        let mut record = self.process.record.borrow_mut();
        *record.instructions.entry(callback).or_default() += used;
        *record.callbacks.entry((self.thread, callback)).or_default() += 1;
        drop(record);
        match called {
            Ok(()) => Entered::Returned(results.first().and_then(Val::i32).unwrap_or(0)),
            Err(error) => self.die(callback, &error),
        }
    }

    fn die(&self, callback: &'static str, error: &wasmtime::Error) -> Entered {
        assert!(
            error.downcast_ref::<Trap>() != Some(&Trap::OutOfFuel),
            "{callback} on {:?} loops: it used {} units of fuel (Envoy would hang for ever)",
            self.thread,
            self.process.settings.fuel_per_callback,
        );
        let message = format!("{error:?}");
        let mut ledger = self.ledger.borrow_mut();
        ledger.dead = true;
        ledger.deferred.clear();
        drop(ledger);
        self.process.record.borrow_mut().crashes.push(Crash {
            thread: self.thread,
            callback,
            message: message.clone(),
        });
        assert!(
            self.process.settings.on_crash == CrashPolicy::Record,
            "{callback} on {:?} trapped: {message}",
            self.thread
        );
        Entered::Dead
    }

    fn must_not_be_dead(&self, entered: Entered, callback: &'static str) -> Result<(), StartFailure> {
        if entered != Entered::Dead {
            return Ok(());
        }
        let record = self.process.record.borrow();
        let message = record
            .crashes
            .last()
            .map(|crash| crash.message.clone())
            .unwrap_or_default();
        Err(StartFailure::Trapped { callback, message })
    }
}

/// A context or token id as wasm passes it.
pub(crate) fn word(id: u32) -> i32 {
    id.cast_signed()
}

/// A size as wasm passes it.
pub(crate) fn size(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("fits 32-bit memory")
}
