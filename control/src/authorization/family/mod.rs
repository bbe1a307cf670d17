//! Refresh tokens of our own: a family for each login, of which one generation is the newest.
//!
//! A client that refreshes gets the next generation. The generation before it gets the same answer again for a while:
//! clients run in several processes that share one refresh token, and answers get lost. Any other use of an old generation
//! ends the login (RFC 9700 §4.14.2).
//!
//! - [`token`]: the text of a refresh token and its proof;
//! - [`decide`]: what a presented token is due, without input or output;
//! - [`record`]: what the store holds; [`store`]: how it gets there.

pub mod decide;
pub mod record;
mod store;
pub mod token;

pub use store::{Families, Rotated, Rotation};
