//! The module that Envoy loads: [`tokenward_filter_core`] behind the proxy-wasm ABI.
//!
//! Everything that decides is in the core, which knows no ABI. The adapter ([`abi`]) is compiled for `wasm32` only;
//! [`header_map`], the ABI's format of header maps, is plain Rust and has native tests.

pub mod header_map;

#[cfg(target_arch = "wasm32")]
mod abi;
