//! The wasmtime host behaves as Envoy does: every rule that the filter's tests rest on, shown with small probe
//! modules that do one thing each.

mod callouts;
mod filter_module;
mod pieces;
mod shared;
mod streams;
mod vms;
