//! The adapter to the proxy-wasm ABI 0.2.1, compiled for `wasm32` only.
//!
//! It uses no SDK: a wrapper that panics on an unexpected status or context kills the worker's VM and hangs its requests, and
//! Envoy enters the VM for every callback that is exported (ADR 7).
//!
//! [`exports`] is what Envoy calls, [`calls`] what Envoy offers, both as plain C functions; [`vm`] finds the root context or
//! the stream of a callback, [`root`] and [`stream`] are those, [`streams`] holds the streams, [`memory`] what the host
//! returns, and [`host`] is Envoy as the filter sees it.

#![allow(
    unsafe_code,
    reason = "the ABI is a C interface; this folder is the only place that speaks it"
)]

mod calls;
mod counters;
mod exports;
mod host;
mod memory;
mod root;
mod stream;
mod streams;
mod vm;
