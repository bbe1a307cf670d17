//! The host functions of proxy-wasm ABI 0.2.1 and the few of WASI that Envoy offers.

mod guest;
mod headers;
mod http;
mod plain;
mod shared;
mod stats;
mod wasi;

use wasmtime::{InstancePre, Linker};

use super::module::{self, WasmModule};
use super::vm::{StartFailure, VmState};

/// The module with all its imports resolved; one that the host does not know traps, by name, when it is called.
pub(crate) fn link(module: &WasmModule) -> Result<InstancePre<VmState>, StartFailure> {
    let mut linker = Linker::new(module::engine());
    let mut define = || {
        plain::define(&mut linker)?;
        headers::define(&mut linker)?;
        http::define(&mut linker)?;
        shared::define(&mut linker)?;
        stats::define(&mut linker)?;
        wasi::define(&mut linker)?;
        linker.define_unknown_imports_as_traps(&module.module)?;
        linker.instantiate_pre(&module.module)
    };
    define().map_err(|error: wasmtime::Error| StartFailure::Instantiate(format!("{error:?}")))
}
