//! The client for an upstream OpenID Connect issuer.
//!
//! - [`HomeIssuer`] and [`RemoteIssuer`]: refreshes at the issuer of a login, exchanges ([`exchange_form`]) at the issuer of a server;
//! - [`client`] makes the HTTP calls, [`limits`] limits them ([`pace`], [`bucket`], [`turns`], [`breaker`]), [`answer`] classifies responses;
//! - [`passing`] passes requests of the issuer's other clients as they are; [`loop_marker`] marks what goes to a relayed issuer;
//! - [`login`] logs a user in with an authorization code;
//! - [`discovery`] finds the endpoints, [`introspection`], [`token_introspection`] and [`revocation`] use the optional ones;
//! - [`keys`], [`key_set`], [`jwk`] and [`verify`] check signatures, [`token_type`], [`access_token`] and [`logout_token`] read
//!   claims;
//! - [`unverified`]: why a token is not accepted.

pub mod access_token;
pub mod algorithm;
pub mod answer;
pub mod breaker;
pub mod bucket;
pub mod client;
pub mod client_assertion;
pub mod discovery;
pub mod exchange_form;
mod health;
mod home;
pub mod introspection;
pub mod jwk;
pub mod key_set;
pub mod keys;
mod known_keys;
pub mod limits;
pub mod loggable;
pub mod login;
pub mod logout_token;
pub(crate) mod loop_marker;
pub mod pace;
pub(crate) mod passing;
pub mod proven_tokens;
mod remote;
pub mod retry_after;
pub mod revocation;
mod stored_keys;
pub mod token_introspection;
pub mod token_type;
pub mod turns;
pub mod unverified;
pub mod verify;

pub use self::home::{CallPermit, HomeIssuer, NotPermitted};
pub use self::remote::RemoteIssuer;
