//! What is said to and heard from an OpenID Connect issuer.
//!
//! [`answer`] is the table of what an answer means, [`client`] makes the calls, [`discovery`] finds the endpoints,
//! [`keys`] and [`verify`] check signatures, [`traffic`] says how much an issuer is asked.

pub mod algorithm;
pub mod answer;
pub mod breaker;
pub mod bucket;
pub mod client;
pub mod discovery;
mod home;
pub mod introspection;
pub mod jwk;
pub mod key_set;
pub mod keys;
mod known_keys;
pub mod limits;
pub mod loggable;
pub mod logout_token;
pub mod proven_tokens;
mod remote;
pub mod retry_after;
pub mod revocation;
mod stored_keys;
pub mod token_type;
pub mod unverified;
pub mod verify;

pub use self::home::{CallPermit, HomeIssuer, NotPermitted};
pub use self::remote::RemoteIssuer;
