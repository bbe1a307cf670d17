//! What the Tokenward filter and control service agree on.
//!
//! - [`jwt`]: the claims that decide a token's fate, read without verifying a signature;
//! - [`freshness`]: fresh, near expiry or stale, from `exp` and the clock;
//! - [`bearer`]: the token inside one `Authorization` header;
//! - [`refusal`]: every reason why no token can be had, and the one table of what follows from it;
//! - [`token_endpoint`]: the RFC 8693 request and answer between filter and control;
//! - [`form`]: forms as OAuth requests have them, read strictly;
//! - [`error_text`]: the characters that an OAuth error description may have;
//! - [`bytes`]: comparing bytes eight at a time, for wasm;
//! - [`json`]: a small strict JSON reader for the filter;
//! - [`backoff`]: waits that double up to a cap;
//! - [`duration`]: `60s`, `5m`: how both configurations write a span of time.
//!
//! No I/O, no clock, no host: everything takes plain data and returns plain data, so that the same code
//! runs in Envoy's wasm sandbox, in the control service and in the tests.

pub mod backoff;
pub mod bearer;
pub mod bytes;
pub mod duration;
pub mod error_text;
pub mod form;
pub mod freshness;
pub mod json;
pub mod jwt;
pub mod refusal;
pub mod token_endpoint;
