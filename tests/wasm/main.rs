//! Behaviour tests of the filter on the wasmtime host.

mod config;
mod cost;
mod exchange;
mod exchanged_before;
mod figures;
mod fixtures;
mod fresh;
mod gate;
mod held_gate;
mod host_faithfulness;
mod hostile_memory;
mod large_tokens;
mod log_throttle;
mod malformed;
mod mcp_methods;
mod near_expiry;
mod races;
mod recovery;
mod refusal;
mod rejected;
mod seeds;
mod soak;
mod stale;
mod streams;
mod unmatched;
mod unreadable;
