//! The machine and the process under measurement: cores, CPU time, memory.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use sha2::Digest as _;

use tokenward_harness::parts::{CLOCK_TICK_NS, tools};

/// Which core runs what; `None` where nothing is pinned.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Pinning {
    /// Envoy's core.
    pub(super) envoy_core: usize,
    /// The core of the load generator and all servers.
    pub(super) load_core: usize,
}

impl Pinning {
    /// Pins this process to the last core it may use, and leaves the first to Envoy.
    ///
    /// `None` where there is no `taskset`, or only one core.
    pub(super) fn of_this_process() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let cores = read_cores(list.trim());
        let (envoy_core, load_core) = (*cores.first()?, *cores.last()?);
        if envoy_core == load_core {
            return None;
        }
        let (core, pid) = (load_core.to_string(), std::process::id().to_string());
        let done = Command::new("taskset")
            .args(["-a", "-c", "-p", &core, &pid])
            .output()
            .ok()?;
        done.status.success().then_some(Self {
            envoy_core,
            load_core,
        })
    }
}

/// `0-1,4` as numbers.
fn read_cores(list: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse()) {
            cores.extend(first..=last);
        }
    }
    cores
}

/// Nanoseconds that all cores of the machine together were busy, with whatever.
pub(super) fn machine_busy_ns() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let ticks = line.split_whitespace().skip(1).map(str::parse);
    let ticks: Vec<u64> = ticks.collect::<Result<_, _>>()?;
    // user nice system idle iowait irq softirq steal; guests are part of user.
    let busy = ticks.iter().take(8).enumerate();
    Ok(busy
        .filter(|(field, _)| ![3, 4].contains(field))
        .map(|(_, ticks)| ticks * CLOCK_TICK_NS)
        .sum())
}

/// `VmRSS` of a process, KiB.
pub(super) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}

/// How many files this process and those that it starts may have open.
pub(super) fn most_open_files() -> anyhow::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    Ok(soft
        .context("no limit of open files")?
        .parse()
        .unwrap_or(u64::MAX))
}

/// Model and number of the cores.
pub(super) fn cpus() -> (String, usize) {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or("unknown", |(_, value)| value)
    };
    // Cloud providers cut the name short; family, model and stepping identify the generation.
    let model = format!(
        "{} (family {}, model {}, stepping {})",
        value("model name"),
        value("cpu family"),
        value("model\t"),
        value("stepping")
    );
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    (model, cores)
}

/// What a result was measured on.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    cpu_model: String,
    cores: usize,
    envoy_version: String,
    pinning: Option<Pinning>,
    module: Module,
    floor_module: Module,
    bare_module: Module,
}

/// A wasm module.
#[derive(Debug, Clone, Serialize)]
struct Module {
    bytes: usize,
    sha256: String,
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look(pinning: Option<Pinning>) -> anyhow::Result<Self> {
        let said = Command::new(tools::envoy()?).arg("--version").output()?;
        ensure!(said.status.success(), "envoy --version fails");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let envoy_version = said
            .split_once("version: ")
            .map_or(said.trim(), |(_, version)| version.trim());
        let (cpu_model, cores) = cpus();
        Ok(Self {
            cpu_model,
            cores,
            envoy_version: envoy_version.to_owned(),
            pinning,
            module: Module::read(&tools::filter_module()?)?,
            floor_module: Module::read(&tools::baseline_module()?)?,
            bare_module: Module::read(&tools::bare_module()?)?,
        })
    }

    /// One paragraph for the terminal.
    pub(super) fn describe(&self) -> String {
        let pinning = match self.pinning {
            Some(Pinning {
                envoy_core,
                load_core,
            }) => format!("Envoy alone on core {envoy_core}, load and servers on core {load_core}"),
            None => "nothing pinned (no taskset, or one core)".to_owned(),
        };
        format!(
            "{} cores, {}\nEnvoy {}\nmodule {} bytes, sha256 {}\n{pinning}",
            self.cores, self.cpu_model, self.envoy_version, self.module.bytes, self.module.sha256
        )
    }
}

impl Module {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let digest = sha2::Sha256::digest(&module);
        Ok(Self {
            bytes: module.len(),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}
