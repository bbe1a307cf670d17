//! Putting a gateway together.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use super::callout::{Callout, CalloutReply};
use super::clock::Clock;
use super::gateway::Gateway;
use super::module::WasmModule;
use super::process::{CalloutScript, Process, Settings, UpstreamScript};
use super::properties::Properties;
use super::recording::LogLevel;
use super::shared_data::SharedData;
use super::stream::{ForwardedRequest, UpstreamReply};
use super::vm::StartFailure;

/// What a trap in the module means for the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPolicy {
    /// The VM is dead, as in Envoy, and the crash is written down.
    Record,
    /// The test fails at once.
    Panic,
}

/// 2027-01-15T08:00:00Z.
const WALL_CLOCK_AT_START_MS: u64 = 1_800_000_000_000;
/// About a second of machine code; a callback of the filter needs less than a hundredth of it.
const FUEL_PER_CALLBACK: u64 = 500_000_000;

/// Settings of a [`Gateway`]; everything has a default but the module's configuration.
pub struct GatewayBuilder {
    module: Option<WasmModule>,
    workers: usize,
    plugin_configuration: Vec<u8>,
    settings: Settings,
    properties: Properties,
    shared_data: SharedData,
    log_level: LogLevel,
    wall_clock_ms: u64,
    callout_script: Option<CalloutScript>,
    upstream_script: Option<UpstreamScript>,
}

impl Default for GatewayBuilder {
    fn default() -> Self {
        let mut properties = Properties::new();
        properties.set(&["plugin_name"], "tokenward");
        properties.set(&["plugin_root_id"], "tokenward");
        properties.set(&["plugin_vm_id"], "tokenward");
        properties.set(&["xds", "node", "id"], "gateway");
        Self {
            module: None,
            workers: 1,
            plugin_configuration: Vec::new(),
            settings: Settings {
                environment: Vec::new(),
                clusters: BTreeSet::new(),
                vm_id: "tokenward".into(),
                vm_configuration: Vec::new(),
                on_crash: CrashPolicy::Record,
                automatic_ticks: true,
                fuel_per_callback: FUEL_PER_CALLBACK,
            },
            properties,
            shared_data: SharedData::default(),
            log_level: LogLevel::Trace,
            wall_clock_ms: WALL_CLOCK_AT_START_MS,
            callout_script: None,
            upstream_script: None,
        }
    }
}

impl GatewayBuilder {
    /// The module; the filter ([`WasmModule::filter`]) by default.
    #[must_use]
    pub fn module(mut self, module: WasmModule) -> Self {
        self.module = Some(module);
        self
    }

    /// How many workers; 1 by default. The main thread's VM comes on top.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// What `proxy_on_configure` reads.
    #[must_use]
    pub fn plugin_configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.plugin_configuration = configuration.into();
        self
    }

    /// What `proxy_on_vm_start` reads.
    #[must_use]
    pub fn vm_configuration(mut self, configuration: impl Into<Vec<u8>>) -> Self {
        self.settings.vm_configuration = configuration.into();
        self
    }

    /// The `vm_id`: shared data and queues are its own; also the property `plugin_vm_id`.
    #[must_use]
    pub fn vm_id(mut self, vm_id: &str) -> Self {
        self.settings.vm_id = vm_id.to_owned();
        self.property(&["plugin_vm_id"], vm_id)
    }

    /// An environment variable that WASI shows the module.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.settings
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    /// A cluster that callouts may name.
    #[must_use]
    pub fn cluster(mut self, name: &str) -> Self {
        self.settings.clusters.insert(name.to_owned());
        self
    }

    /// A property that every request sees; root contexts see only `plugin_*` and `xds.node`.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl Into<Vec<u8>>) -> Self {
        self.properties.set(path, value);
        self
    }

    /// What shared data holds before the first VM starts: another filter version's entries, for example.
    #[must_use]
    pub fn shared_data(mut self, shared_data: SharedData) -> Self {
        self.shared_data = shared_data;
        self
    }

    /// The host's log level (`wasm:…`): lines below it are not written down. Trace by default.
    #[must_use]
    pub fn log_level(mut self, level: LogLevel) -> Self {
        self.log_level = level;
        self
    }

    /// Wall time at the start, Unix milliseconds.
    #[must_use]
    pub fn wall_clock_ms(mut self, wall_clock_ms: u64) -> Self {
        self.wall_clock_ms = wall_clock_ms;
        self
    }

    /// Ticks happen only through [`super::worker::Worker::tick`] and not as time moves on.
    #[must_use]
    pub fn manual_ticks(mut self) -> Self {
        self.settings.automatic_ticks = false;
        self
    }

    /// What a trap means; [`CrashPolicy::Record`] by default.
    #[must_use]
    pub fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.settings.on_crash = policy;
        self
    }

    /// How much fuel (about one unit per wasm instruction) one callback may use before the test fails.
    #[must_use]
    pub fn fuel_per_callback(mut self, fuel: u64) -> Self {
        self.settings.fuel_per_callback = fuel;
        self
    }

    /// Decides what comes of every callout to a known cluster; all upstreams are silent by default.
    #[must_use]
    pub fn callouts(mut self, script: impl FnMut(&Callout) -> CalloutReply + 'static) -> Self {
        self.callout_script = Some(Box::new(script));
        self
    }

    /// Answers forwarded requests; by default they stay open until [`super::stream::Stream::respond`].
    #[must_use]
    pub fn upstream(mut self, script: impl FnMut(&ForwardedRequest) -> UpstreamReply + 'static) -> Self {
        self.upstream_script = Some(Box::new(script));
        self
    }

    /// Starts as Envoy does: a base VM, a canary VM that is configured and dropped, the main thread, the workers.
    ///
    /// # Errors
    /// What makes Envoy reject the configuration: a trap, or `false` from a start callback.
    ///
    /// # Panics
    /// When no module was given and the filter is not built.
    pub fn start(self) -> Result<Gateway, StartFailure> {
        let module = self
            .module
            .unwrap_or_else(|| WasmModule::filter().unwrap_or_else(|error| panic!("{error:#}")));
        let process = Process {
            settings: self.settings,
            clock: RefCell::new(Clock::starting_at(self.wall_clock_ms)),
            shared_data: RefCell::new(self.shared_data),
            queues: RefCell::default(),
            metrics: RefCell::default(),
            record: RefCell::default(),
            properties: RefCell::new(self.properties),
            log_level: Cell::new(self.log_level),
            callouts: RefCell::default(),
            callout_script: RefCell::new(self.callout_script),
            upstream_script: RefCell::new(self.upstream_script),
            forwarded: RefCell::default(),
            races: RefCell::default(),
            posts: RefCell::default(),
            in_flight: RefCell::default(),
            most_header_bytes: Cell::new(usize::MAX),
        };
        Gateway::start(process, &module, self.workers, self.plugin_configuration)
    }
}
