//! The wasm module under test: compiled once in a process.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context as _;
use wasmtime::{Config, Engine, Module};

/// Names the module file when it is not where the build puts it.
pub const MODULE_PATH_VARIABLE: &str = "TOKENWARD_WASM";
const BUILT_MODULE: &str = "target/wasm32-unknown-unknown/module/tokenward_filter.wasm";

/// A compiled module. Cloning is cheap.
#[derive(Clone)]
pub struct WasmModule {
    pub(crate) module: Module,
}

impl std::fmt::Debug for WasmModule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WasmModule").finish_non_exhaustive()
    }
}

impl WasmModule {
    /// The filter, from `$TOKENWARD_WASM` or the workspace's target folder; compiled on the first call.
    ///
    /// # Errors
    /// The file is missing (the text names the command that builds it) or is not a wasm module.
    pub fn filter() -> anyhow::Result<Self> {
        static FILTER: OnceLock<Result<WasmModule, String>> = OnceLock::new();
        FILTER
            .get_or_init(|| Self::from_file(&filter_path()).map_err(|error| format!("{error:#}")))
            .clone()
            .map_err(anyhow::Error::msg)
    }

    /// Compiles the module in a file.
    ///
    /// # Errors
    /// The file cannot be read or is not a wasm module.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| {
            format!(
                "no wasm module at {}: build it with `cargo build -p tokenward-filter --target \
                 wasm32-unknown-unknown --profile module`, or name it in {MODULE_PATH_VARIABLE}",
                path.display()
            )
        })?;
        Self::from_bytes(&bytes).with_context(|| path.display().to_string())
    }

    /// Compiles a module in the binary format.
    ///
    /// # Errors
    /// The bytes are not a wasm module.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let module =
            Module::new(engine(), bytes).map_err(|error| anyhow::anyhow!("not a wasm module: {error:?}"))?;
        Ok(Self { module })
    }
}

/// Where [`WasmModule::filter`] looks.
#[must_use]
pub fn filter_path() -> PathBuf {
    match env::var_os(MODULE_PATH_VARIABLE) {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(BUILT_MODULE),
    }
}

/// One engine for the process. Fuel, not a watchdog thread, ends endless loops: it is deterministic, and it
/// counts instructions.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).expect("cranelift supports this machine")
    })
}
