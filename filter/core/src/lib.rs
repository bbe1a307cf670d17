//! The Tokenward filter: no stale ID token leaves the gateway.
//!
//! Everything that decides, as plain Rust over the [`host::Host`] trait: no host ABI, no `unsafe`, native tests. The
//! crate `tokenward-filter` puts it behind the proxy-wasm ABI.
//!
//! - [`filter`]: the entry point, by what the configuration makes of a filter; [`worker`]: the filter that protects servers;
//! - [`config`]: the filter's JSON configuration, parsed strictly and compiled;
//! - [`request`]: what is read of a request's headers; [`authority`], [`server_match`] and [`identity`]:
//!   whose request, to which server;
//! - [`token_memo`]: claims of tokens seen before; [`replacement`]: fresh tokens that control gave;
//! - [`decision`]: the one decision; [`outcome`]: what follows from it (status, headers, log level, metric);
//! - [`pair`]: gate and log throttle per session and server, shared by all of Envoy's workers;
//! - [`flight`]: paused requests and the calls they wait for; [`worker`]: all of it put together.

#![forbid(unsafe_code)]

pub mod authority;
pub mod config;
mod context;
pub mod decision;
pub mod digest_map;
pub mod each_try;
pub mod filter;
pub mod flight;
pub mod host;
pub mod identity;
pub mod last_seen;
pub mod log;
pub mod metric;
pub mod misconfigured;
pub mod pair;
pub mod replacement;
pub mod reply;
pub mod request;
pub mod route_memo;
pub mod server_match;
pub mod token_memo;
pub mod verdict;
pub mod worker;
