//! What the filter and control agree on, stated as behaviour.

mod backoff;
mod bearer;
mod bytes;
mod duration;
mod filter_state;
mod freshness;
mod json;
mod jwt;
mod refusal;
mod token_endpoint;
