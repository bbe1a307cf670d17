//! What the Tokenward filter and control service agree on.
//!
//! - [`jwt`]: the claims that decide whether a token may be forwarded, read without verifying a signature;
//! - [`freshness`]: fresh, near expiry or stale, from `exp` and the clock;
//! - [`bearer`]: the token inside one `Authorization` header;
//! - [`refusal`]: every reason why no token is available, and the one table of what follows from it;
//! - [`token_endpoint`]: the RFC 8693 request and response between the filter and control;
//! - [`filter_state`]: what the filter learns from control: servers and sign-outs;
//! - [`route`]: which requests a server is for, by host and path;
//! - [`pair`]: the digest by which log lines name a session at a server;
//! - [`form`]: the forms of OAuth requests, parsed strictly;
//! - [`error_text`]: the characters that an OAuth error description may have;
//! - [`bytes`]: byte comparison eight at a time, for wasm;
//! - [`json`]: a small strict JSON parser for the filter;
//! - [`backoff`]: waits that double up to a cap;
//! - [`duration`]: `60s`, `5m`: how both configurations write a duration.
//!
//! No I/O, no clock, no host: everything takes plain data and returns plain data, so that the same code
//! runs in Envoy's wasm sandbox, in the control service and in the tests.

pub mod backoff;
pub mod bearer;
pub mod bytes;
pub mod duration;
pub mod error_text;
pub mod filter_state;
pub mod form;
pub mod freshness;
pub mod json;
pub mod jwt;
pub mod pair;
pub mod refusal;
pub mod route;
pub mod token_endpoint;
