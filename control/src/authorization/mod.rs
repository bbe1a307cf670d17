//! Our own authorization server for MCP clients: a client logs its user in here, gets an access token of ours for one
//! server, and refreshes it here. The access token opens nothing but a swap: the filter presents it to control, and the
//! server gets a token that its own issuer signed.
//!
//! Nothing in here speaks HTTP to clients ([`crate::http`] does) or decides about upstream grants ([`crate::upstream`]).

pub mod access_token;
pub mod browser;
pub mod client;
pub mod code;
pub mod consent;
pub mod family;
pub mod login;
pub mod pkce;
pub(crate) mod random;
pub mod refusal;
pub mod request;
pub mod source;
pub mod stored;
pub mod upstream_leg;
pub mod upstream_response;
