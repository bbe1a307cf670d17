//! The module that Envoy loads: [`tokenward_filter_core`] behind the proxy-wasm ABI.
//!
//! The core makes every decision and knows no ABI. The adapter (`abi`) is compiled for `wasm32` only; [`header_map`], the ABI's
//! format of header maps, is plain Rust with native tests.

pub mod header_map;

#[cfg(target_arch = "wasm32")]
mod abi;
