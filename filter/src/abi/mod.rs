//! The adapter to the proxy-wasm ABI 0.2.1, compiled for `wasm32` only.
//!
//! Contexts and callbacks come from the `proxy-wasm` crate. Host calls are made here directly, because the crate's
//! wrappers panic on a status that they do not expect, and a panic kills the worker's VM and hangs its requests.

#![allow(
    unsafe_code,
    reason = "the ABI is a C interface; this folder is the only place that speaks it"
)]

mod calls;
mod host;
mod http;
mod root;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

// Only logging is allowed in `_initialize` (Envoy traps other host calls there), so everything else waits for
// `on_configure`.
proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|context_id| -> Box<dyn RootContext> { Box::new(root::Root::new(context_id)) });
}}
