//! Builds: the wasm modules, and native programs and tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::wasm_sections::{Import, append_custom_section, read_exported_functions, read_imports};
use crate::workspace::Workspace;

/// The filter module may not be larger: 200 KB.
const LARGEST_MODULE_BYTES: usize = 204_800;
/// What Envoy must find (proxy-wasm ABI 0.2.1), and the phases in which the filter acts.
const EXPORTS: [&str; 8] = [
    "malloc",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];
/// The benchmark's filter without an SDK may not be larger.
const LARGEST_BARE_BYTES: u64 = 1024;
const WASM: &str = "wasm32-unknown-unknown";
const LONGEST_BUILD: Duration = Duration::from_secs(3600);

/// Every crate: one selection for all native builds, so that features and thus dependencies are built once.
pub(crate) const PACKAGES: [&str; 15] = [
    "tokenward-protocol",
    "tokenward-filter-core",
    "tokenward-filter",
    "tokenward-control",
    "tokenward-kubernetes",
    "tokenward-harness",
    "tokenward-wasm-host",
    "tokenward-lab-cli",
    "tokenward-demo",
    "tokenward-replay",
    "tokenward-bench",
    "tokenward-simulation",
    "tokenward-tests",
    "tokenward-fuzz-oracles",
    "tokenward-xtask",
];

/// Builds the wasm module and checks its size, imports and exports.
///
/// Linked here and not by cargo: what is a C function need not be an export, and Envoy enters the VM for every phase
/// (each body chunk included) that a module exports a callback of. What is not exported the linker drops.
pub(crate) fn filter_module(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    terminal.step("filter module", |step| {
        let mut cargo = workspace.cargo();
        cargo.args([
            "rustc",
            "--package",
            "tokenward-filter",
            "--lib",
            "--crate-type",
            "staticlib",
        ]);
        cargo.args(["--target", WASM, "--profile", "module", "--config"]);
        // The module is pinned by its digest: the same source gives the same module on every machine.
        cargo.arg(workspace.path_remapping(WASM));
        let word = built_or_there(&run_cargo(cargo, step, "the build of the filter module")?);
        let path = module_path(workspace);
        link_module(workspace, &path.with_file_name("libtokenward_filter.a"), &path)?;
        let module = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let imports = check_module(&module)?;
        let size = format!(
            "{:.1} of at most {} KB",
            module.len() as f64 / 1024.0,
            LARGEST_MODULE_BYTES / 1024
        );
        Ok(Outcome::new(
            word,
            format!("{size}, {imports} imports, all known to Envoy"),
        ))
    })
}

/// Links the filter's archive into a module that exports [`EXPORTS`] and nothing else.
fn link_module(workspace: &Workspace, archive: &Path, module: &Path) -> Result<()> {
    // Beside the module first, then renamed: a test that runs meanwhile sees the old or the new one, never half.
    let unfinished = module.with_extension("wasm.new");
    let mut linker = Command::new(wasm_linker(workspace)?);
    linker.args([
        "-flavor",
        "wasm",
        "--no-entry",
        "--allow-undefined",
        "--gc-sections",
        "--strip-all",
        "-O2",
        // Objects have five bytes for each number that the linker fills in; most need one to three.
        "--compress-relocations",
    ]);
    // The stack grows towards address 0 and traps there instead of running into the data.
    linker.args(["--stack-first", "-z", "stack-size=65536"]);
    linker.args(EXPORTS.map(|name| format!("--export={name}")));
    linker.arg(archive).arg("-o").arg(&unfinished);
    process::ask(&mut linker)?.succeeded("the link of the filter module")?;
    let mut linked = std::fs::read(&unfinished)?;
    // Control refuses to serve a module of another version than its own.
    append_custom_section(&mut linked, "tokenward_version", env!("CARGO_PKG_VERSION"));
    std::fs::write(&unfinished, linked)?;
    std::fs::rename(&unfinished, module).with_context(|| format!("cannot write {}", module.display()))
}

/// rustc's own copy of LLVM's linker, else one on PATH.
fn wasm_linker(workspace: &Workspace) -> Result<PathBuf> {
    let sysroot =
        process::ask(workspace.rustc().args(["--print", "sysroot"]))?.succeeded("rustc --print sysroot")?;
    let rustlib = Path::new(sysroot.stdout.trim()).join("lib/rustlib");
    let hosts = std::fs::read_dir(&rustlib).with_context(|| format!("cannot read {}", rustlib.display()))?;
    let own = hosts
        .filter_map(|host| Some(host.ok()?.path().join("bin/rust-lld")))
        .find(|path| path.is_file());
    Ok(own.unwrap_or_else(|| PathBuf::from("rust-lld")))
}

/// Builds the baseline filter of the benchmark the way cargo builds any filter: nothing is linked by hand.
pub(crate) fn baseline_module(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    terminal.step("baseline filter", |step| {
        let (word, path) = plain_module(workspace, step, "tokenward-baseline-filter")?;
        Ok(Outcome::new(word, workspace.shown(&path)))
    })
}

/// Builds the benchmark's filter without an SDK, and checks that it is as small as it claims.
pub(crate) fn bare_module(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    terminal.step("bare filter", |step| {
        let (word, path) = plain_module(workspace, step, "tokenward-bare-filter")?;
        let bytes = std::fs::metadata(&path)?.len();
        ensure!(
            bytes <= LARGEST_BARE_BYTES,
            "the bare filter has {bytes} bytes, {LARGEST_BARE_BYTES} are accepted"
        );
        Ok(Outcome::new(
            word,
            format!("{bytes} bytes, {}", workspace.shown(&path)),
        ))
    })
}

/// Builds a package's module as cargo builds it; whether it was there, and where it is.
fn plain_module(workspace: &Workspace, step: &Step, package: &str) -> Result<(&'static str, PathBuf)> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", package, "--lib"]);
    cargo.args(["--target", WASM, "--profile", "module"]);
    let word = built_or_there(&run_cargo(cargo, step, &format!("the build of {package}"))?);
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok((word, module_path(workspace).with_file_name(file)))
}

/// Builds native targets of the whole workspace, chosen by cargo's `targets` flags.
pub(crate) fn native(workspace: &Workspace, terminal: &Terminal, name: &str, targets: &[&str]) -> Result<()> {
    terminal.step(name, |step| {
        let mut cargo = workspace.cargo();
        cargo.arg("build").args(package_flags()).args(targets);
        let word = built_or_there(&run_cargo(cargo, step, "the build")?);
        Ok(Outcome::new(
            word,
            workspace.shown(&workspace.target().join(Profile::Dev.folder())),
        ))
    })
}

/// Builds the control service that a test can make die at a chosen place; it is never shipped.
pub(crate) fn control_with_failpoints(workspace: &Workspace, terminal: &Terminal) -> Result<()> {
    let targets = [
        "--features",
        "tokenward-control/failpoints",
        "--bin",
        "tokenward-failpoints",
    ];
    native(workspace, terminal, "control with failpoints", &targets)
}

/// A binary and the crate that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) package: &'static str,
    pub(crate) binary: &'static str,
}

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Without optimisation.
    Dev,
    /// With optimisation, for what is measured.
    Release,
}

impl Profile {
    /// Cargo's folder for it below the target folder.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds these programs and what they depend on; no other crate of the workspace.
pub(crate) fn programs(
    workspace: &Workspace,
    terminal: &Terminal,
    profile: Profile,
    programs: &[Program],
) -> Result<()> {
    let names: Vec<_> = programs.iter().map(|program| program.binary).collect();
    terminal.step(&names.join(", "), |step| {
        let mut cargo = workspace.cargo();
        cargo.arg("build");
        for program in programs {
            cargo.args(["--package", program.package, "--bin", program.binary]);
        }
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        // Incremental compilation costs a first build a third of its CPU time, and only helps the edits after it.
        if std::env::var_os("CARGO_INCREMENTAL").is_none() {
            cargo.env("CARGO_INCREMENTAL", "0");
        }
        let word = built_or_there(&run_cargo(cargo, step, "the build")?);
        Ok(Outcome::new(
            word,
            workspace.shown(&workspace.target().join(profile.folder())),
        ))
    })
}

/// `there` when cargo had nothing to compile.
fn built_or_there(run: &process::Finished) -> &'static str {
    if run.stderr.contains("Compiling ") {
        "built"
    } else {
        "there"
    }
}

/// `--package NAME` for every crate.
pub(crate) fn package_flags() -> impl Iterator<Item = &'static str> {
    PACKAGES.into_iter().flat_map(|package| ["--package", package])
}

/// Where the build leaves the module, and where the tests look for it.
pub(crate) fn module_path(workspace: &Workspace) -> PathBuf {
    workspace
        .target()
        .join("wasm32-unknown-unknown/module/tokenward_filter.wasm")
}

fn check_module(module: &[u8]) -> Result<usize> {
    let bytes = module.len();
    ensure!(
        bytes <= LARGEST_MODULE_BYTES,
        "the module has {bytes} bytes, {LARGEST_MODULE_BYTES} are accepted"
    );
    let imports = read_imports(module)?;
    let unknown: BTreeSet<String> = imports
        .iter()
        .filter(|import| !import.is_allowed())
        .map(|Import { module, name, .. }| format!("{module}.{name}"))
        .collect();
    ensure!(
        unknown.is_empty(),
        "the module imports what Envoy does not offer: {unknown:?}"
    );
    let mut exports = read_exported_functions(module)?;
    exports.sort();
    ensure!(
        exports == EXPORTS,
        "the module exports {exports:?}; each one more makes Envoy enter the VM more often"
    );
    Ok(imports.len())
}

/// Runs cargo in a step, with its progress in numbers where a person watches.
pub(crate) fn run_cargo(mut cargo: Command, step: &Step, what: &str) -> Result<process::Finished> {
    if step.is_live() {
        cargo
            .env("CARGO_TERM_PROGRESS_WHEN", "always")
            .env("CARGO_TERM_PROGRESS_WIDTH", "100");
        cargo.env("CARGO_TERM_COLOR", "never");
    }
    process::capture(&mut cargo, step, LONGEST_BUILD)?.succeeded(what)
}

#[cfg(test)]
mod tests;
