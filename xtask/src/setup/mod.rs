//! `cargo xtask setup`: the parts that are no crates, found or fetched into target/tools.

mod apt;
mod chromium;
mod crds;
mod dex;
mod envoy;
mod envoy_gateway;
mod go;
mod go_program;
mod h2load;
pub(crate) mod keycloak;
mod kube_apiserver;
mod mcp_clients;
mod oauth2_proxy;
mod oidc_provider;
mod pip;
mod prometheus;
pub(crate) mod release_tools;
mod valkey;
mod wasm_target;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub(crate) use prometheus::is_there as prometheus_is_there;
pub(crate) use wasm_target::WasmStd;

use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::version::Version;
use crate::workspace::Workspace;

/// Flags of `cargo xtask setup`.
#[derive(Debug, Default, Args)]
pub(crate) struct SetupFlags {
    /// Use no network: only report what is there, and fail if something is missing
    #[arg(long)]
    offline: bool,
    /// How to get the wasm standard library if it is missing
    #[arg(long, value_enum, default_value_t)]
    wasm_std: WasmStd,
    /// Leave out Dex, which is built where there is Go: only `demo --dex`, `replay --dex` and the tests on it need it
    #[arg(long)]
    without_dex: bool,
    /// Leave out the strict issuer, the official MCP SDKs and the real MCP servers, which only some of the tests need
    #[arg(long)]
    without_test_parts: bool,
    /// Get Envoy Gateway, Helm and Prometheus too, which only `gateway` needs; the first two are built where there is Go
    #[arg(long)]
    with_envoy_gateway: bool,
    /// Get a Kubernetes API server with etcd and CRDs too, which only `cluster` needs: ten minutes of a build with Go
    #[arg(long)]
    with_cluster: bool,
    /// Get oauth2-proxy too, which is built where there is Go and which only `relay` needs
    #[arg(long)]
    with_oauth2_proxy: bool,
    /// Get more MCP clients and the conformance suite too, which only `clients` needs: Node 24, and a build of rmcp
    #[arg(long)]
    with_login_clients: bool,
    /// Get Keycloak too, which only `issuers` needs: Java 17, Maven, and 165 MB
    #[arg(long)]
    with_keycloak: bool,
    /// Get h2load too, the second load generator, which only `bench data-path` needs
    #[arg(long)]
    with_h2load: bool,
    #[arg(skip)]
    without_mcp: bool,
    #[arg(skip)]
    with_browser: bool,
    #[arg(skip)]
    with_etcd: bool,
}

impl SetupFlags {
    /// What everything but the tests needs: Dex only if it is wanted, and nothing that only the tests need.
    pub(crate) fn with_dex(self, wanted: bool) -> Self {
        Self {
            without_dex: !wanted,
            without_test_parts: true,
            ..self
        }
    }

    /// The same flags, with Envoy Gateway and Helm.
    pub(crate) fn with_envoy_gateway(self) -> Self {
        Self {
            with_envoy_gateway: true,
            ..self
        }
    }

    /// What `bench data-path` needs: h2load, and Envoy Gateway unless these configurations, all if none, do without it.
    pub(crate) fn for_data_path(self, only: &[String]) -> Self {
        Self {
            with_h2load: true,
            with_envoy_gateway: only.is_empty() || only.iter().any(|name| name.starts_with("installed")),
            ..self
        }
    }

    /// What `cluster` needs: Envoy Gateway, Helm, an API server, and Dex for the quickstart.
    pub(crate) fn for_cluster() -> Self {
        Self {
            with_envoy_gateway: true,
            with_cluster: true,
            without_test_parts: true,
            ..Self::default()
        }
    }

    /// What `bench storm` needs: Dex, and an etcd for its state.
    pub(crate) fn for_storm(self) -> Self {
        Self {
            with_etcd: true,
            ..self.with_dex(true)
        }
    }

    /// What `issuers` needs: Dex as another home, and Keycloak.
    pub(crate) fn for_issuers() -> Self {
        Self {
            with_keycloak: true,
            without_test_parts: true,
            ..Self::default()
        }
    }

    /// What `clients` needs: Dex, and every MCP client.
    pub(crate) fn for_clients() -> Self {
        Self {
            with_login_clients: true,
            ..Self::default()
        }
    }

    /// What `console` needs: the programs of every test of control, and a browser.
    pub(crate) fn for_console() -> Self {
        Self {
            without_dex: true,
            without_test_parts: true,
            with_browser: true,
            ..Self::default()
        }
    }

    /// What `relay` needs: Dex, the strict issuer and oauth2-proxy, and no MCP SDKs.
    pub(crate) fn for_relay() -> Self {
        Self {
            with_oauth2_proxy: true,
            without_mcp: true,
            ..Self::default()
        }
    }
}

/// Gets every part; a part that is there is left alone.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &SetupFlags) -> Result<()> {
    terminal.heading("setup");
    let tools = workspace.tools();
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let network = if flags.offline {
        Network::Forbidden
    } else {
        Network::Allowed
    };
    terminal.step("wasm target", |step| {
        wasm_target::provide(workspace, step, network, flags.wasm_std)
    })?;
    terminal.step("Envoy", |step| provide(workspace, step, network, &envoy::ENVOY))?;
    terminal.step("Valkey", |step| {
        provide(workspace, step, network, &valkey::VALKEY)
    })?;
    if flags.with_h2load {
        terminal.step("h2load", |step| h2load::provide(workspace, step, network))?;
    }
    if flags.with_envoy_gateway {
        terminal.step("Envoy Gateway", |step| {
            envoy_gateway::provide(workspace, step, network)
        })?;
        terminal.step("its Envoy", |step| {
            envoy_gateway::provide_envoy(workspace, step, network)
        })?;
        terminal.step("Prometheus", |step| prometheus::provide(workspace, step, network))?;
    }
    if flags.with_cluster {
        terminal.step("API server", |step| {
            kube_apiserver::KUBE_APISERVER.provide(workspace, step, network)
        })?;
        terminal.step("CRDs", |step| crds::provide(workspace, step, network))?;
    }
    if flags.with_cluster || flags.with_etcd {
        terminal.step("etcd", |step| {
            provide(workspace, step, network, &kube_apiserver::ETCD)
        })?;
    }
    if !flags.without_dex {
        terminal.step("Dex", |step| dex::DEX.provide(workspace, step, network))?;
    }
    if flags.with_keycloak {
        terminal.step("Keycloak", |step| keycloak::provide(workspace, step, network))?;
    }
    if flags.with_oauth2_proxy {
        terminal.step("oauth2-proxy", |step| {
            oauth2_proxy::OAUTH2_PROXY.provide(workspace, step, network)
        })?;
    }
    if flags.with_browser {
        terminal.step("Chromium", |step| chromium::provide(step, network))?;
    }
    if flags.without_test_parts {
        return Ok(());
    }
    terminal.step("strict issuer", |step| {
        oidc_provider::provide(workspace, step, network)
    })?;
    if flags.without_mcp {
        return Ok(());
    }
    terminal.step("MCP for Node", |step| {
        mcp_clients::of_node(workspace, step, network)
    })?;
    terminal.step("MCP for Python", |step| {
        mcp_clients::of_python(workspace, step, network)
    })?;
    terminal.step("schemathesis", |step| {
        mcp_clients::schemathesis(workspace, step, network)
    })?;
    if !flags.with_login_clients {
        return Ok(());
    }
    terminal.step("FastMCP, Node 24", |step| {
        mcp_clients::programs_of_python(workspace, step, network)
    })?;
    terminal.step("MCP programs", |step| {
        mcp_clients::programs_of_node(workspace, step, network)
    })?;
    terminal.step("rmcp", |step| {
        mcp_clients::program_of_rust(workspace, step, network)
    })?;
    terminal.step("Chromium", |step| chromium::provide(step, network))
}

/// Whether a part may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Allowed,
    Forbidden,
}

/// A program that the tests start: how it is found, recognised and fetched.
struct Program {
    /// Its file name in target/tools and on PATH.
    file: &'static str,
    /// The environment variable that wins over everything.
    variable: &'static str,
    /// The oldest version that will do.
    oldest: Version,
    /// Reads the version from what `--version` prints.
    version: fn(&str) -> Option<Version>,
    /// The ways to get it, tried in order; each leaves the binary at the given path.
    ways: &'static [Way],
}

/// A way to fetch a program: its origin (for messages), and the function.
type Way = (&'static str, fn(&Workspace, &Step, &Path) -> Result<()>);

fn provide(workspace: &Workspace, step: &Step, network: Network, program: &Program) -> Result<Outcome> {
    if let Some(given) = std::env::var_os(program.variable) {
        let version = checked_version(program, Path::new(&given)).with_context(|| {
            format!(
                "{} is set to {}, which will not do",
                program.variable,
                Path::new(&given).display()
            )
        })?;
        return Ok(Outcome::new(
            "there",
            format!("{version}, from {}", program.variable),
        ));
    }
    let own = workspace.tools().join(program.file);
    if let Ok(version) = checked_version(program, &own) {
        return Ok(Outcome::new(
            "there",
            format!("{version}, {}", workspace.shown(&own)),
        ));
    }
    if let Some((found, version)) = on_path(program) {
        return Ok(Outcome::new("there", format!("{version}, {}", found.display())));
    }
    let hint = format!(
        "set {} to a binary of version {} or newer",
        program.variable, program.oldest
    );
    ensure!(
        network == Network::Allowed,
        "{} is not there, and --offline forbids to fetch it; {hint}",
        program.file
    );
    let mut failures = Vec::new();
    for (origin, fetch) in program.ways {
        step.now(format!("trying {origin}"));
        match fetch(workspace, step, &own).and_then(|()| checked_version(program, &own)) {
            Ok(version) => {
                return Ok(Outcome::new(
                    "fetched",
                    format!("{version}, {} from {origin}", workspace.shown(&own)),
                ));
            }
            Err(error) => {
                // What does not run must not stay where the tests look.
                drop(std::fs::remove_file(&own));
                failures.push(format!("  {origin}: {error:#}"));
            }
        }
    }
    bail!(
        "cannot get {}; {hint}. Tried:\n{}",
        program.file,
        failures.join("\n")
    )
}

/// The version that the binary prints.
///
/// # Errors
/// When it does not run here, is another program, or too old.
fn checked_version(program: &Program, binary: &Path) -> Result<Version> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg("--version"))?.succeeded("--version")?;
    let version = (program.version)(&format!("{}\n{}", run.stdout, run.stderr))
        .with_context(|| format!("its --version does not look like {}", program.file))?;
    ensure!(
        version >= program.oldest,
        "its version is {version}, {} or newer is needed",
        program.oldest
    );
    Ok(version)
}

fn on_path(program: &Program) -> Option<(PathBuf, Version)> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program.file))
        .find_map(|binary| {
            checked_version(program, &binary)
                .ok()
                .map(|version| (binary, version))
        })
}

/// An empty scratch folder below target/tools.
fn fresh_folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.tools().join(".fetch").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Moves a fetched binary to its place in one step, so that an interrupted setup leaves no half of one there.
fn install_binary(fetched: &Path, place: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(fetched, executable)
            .with_context(|| format!("nothing was unpacked at {}", fetched.display()))?;
    }
    std::fs::rename(fetched, place).with_context(|| format!("cannot move {} into place", fetched.display()))
}

/// The only file in `folder` whose name ends with `.extension`.
fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension() == Some(OsStr::new(extension)))
        .collect();
    ensure!(
        found.len() == 1,
        "{} .{extension} files in {} where one was expected",
        found.len(),
        folder.display()
    );
    found.pop().context("no file")
}
