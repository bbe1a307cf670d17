//! Where the programs and the wasm module are that the tests start.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Envoy: `ENVOY_BIN`, then `target/tools/envoy`, then `PATH`.
pub fn envoy() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "ENVOY_BIN",
        built: "tools/envoy",
        on_path: Some("envoy"),
        cure: "cargo xtask setup",
    }
    .find()
}

/// Valkey: `VALKEY_BIN`, then `target/tools/valkey-server`, then `PATH`.
pub fn valkey_server() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "VALKEY_BIN",
        built: "tools/valkey-server",
        on_path: Some("valkey-server"),
        cure: "cargo xtask setup",
    }
    .find()
}

/// Why the stories on a real Dex are left out where [`dex`] finds none, and the cure.
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
        cure: "cargo xtask setup",
    }
    .find_if_there()
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
        cure: "cargo xtask setup",
    }
    .find_if_there()
}

/// The control service: `TOKENWARD_BIN`, then `target/debug/tokenward`.
pub fn tokenward() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_BIN",
        built: "debug/tokenward",
        on_path: None,
        cure: "cargo xtask build",
    }
    .find()
}

/// The filter: `TOKENWARD_WASM`, then `target/wasm32-unknown-unknown/module/tokenward_filter.wasm`.
pub fn filter_module() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_WASM",
        built: "wasm32-unknown-unknown/module/tokenward_filter.wasm",
        on_path: None,
        cure: "cargo xtask build",
    }
    .find()
}

/// The floor of the benchmark: `TOKENWARD_FLOOR_WASM`, then
/// `target/wasm32-unknown-unknown/module/tokenward_floor.wasm`.
pub fn floor_module() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_FLOOR_WASM",
        built: "wasm32-unknown-unknown/module/tokenward_floor.wasm",
        on_path: None,
        cure: "cargo xtask bench data-path",
    }
    .find()
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

struct Tool {
    variable: &'static str,
    built: &'static str,
    on_path: Option<&'static str>,
    cure: &'static str,
}

impl Tool {
    fn find(&self) -> anyhow::Result<PathBuf> {
        self.find_if_there()?.with_context(|| {
            format!(
                "{} is missing: run `{}` or set {}",
                target_folder().join(self.built).display(),
                self.cure,
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
        let on_path = self.on_path.into_iter().flat_map(|name| {
            let folders = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&folders)
                .map(|folder| folder.join(name))
                .collect::<Vec<_>>()
        });
        Ok(std::iter::once(target_folder().join(self.built))
            .chain(on_path)
            .find(|path| path.is_file()))
    }
}

fn target_folder() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}
