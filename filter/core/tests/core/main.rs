//! The filter's decisions, natively: no wasm, no Envoy, milliseconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on should stop at once; the module itself must never"
)]

mod allowance;
mod call_limit;
mod capacity;
mod clock_steps;
mod config;
mod decision;
mod gate;
mod host;
mod in_step;
mod limits;
mod listener;
mod map_seeds;
mod matchers;
mod mcp_method;
mod own_tokens;
mod own_tokens_config;
mod replacement;
mod reply;
mod request;
mod response;
mod route_memo;
mod server_match;
mod session_required;
mod shared_memory;
mod slot;
mod throttle;
mod token_memo;
mod unmatched;
mod warn_limit;
mod worker;
