//! What the benchmarks measure, and measure with.

use std::path::PathBuf;

use super::Tool;

/// The control service with optimisation, for what is measured: `TOKENWARD_BIN`, then `target/release/tokenward`.
pub fn tokenward_release() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_BIN",
        built: "release/tokenward",
        on_path: None,
        hint: "cargo build --release -p tokenward-control",
    }
    .find()
}

/// The benchmark's baseline filter: `TOKENWARD_BASELINE_WASM`, then
/// `target/wasm32-unknown-unknown/module/tokenward_baseline_filter.wasm`.
pub fn baseline_module() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_BASELINE_WASM",
        built: "wasm32-unknown-unknown/module/tokenward_baseline_filter.wasm",
        on_path: None,
        hint: "cargo xtask bench data-path",
    }
    .find()
}

/// The benchmark's filter without an SDK: `TOKENWARD_BARE_WASM`, then
/// `target/wasm32-unknown-unknown/module/tokenward_bare_filter.wasm`.
pub fn bare_module() -> anyhow::Result<PathBuf> {
    Tool {
        variable: "TOKENWARD_BARE_WASM",
        built: "wasm32-unknown-unknown/module/tokenward_bare_filter.wasm",
        on_path: None,
        hint: "cargo xtask build --module-only",
    }
    .find()
}

/// The second load generator of the benchmark: `H2LOAD_BIN`, then `target/tools/h2load`, then `PATH`.
///
/// # Errors
/// When the variable names nothing.
pub fn h2load() -> anyhow::Result<Option<PathBuf>> {
    Tool {
        variable: "H2LOAD_BIN",
        built: "tools/h2load",
        on_path: Some("h2load"),
        hint: "cargo xtask bench data-path",
    }
    .find_if_there()
}
