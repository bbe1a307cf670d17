//! Refresh tokens of our own: a family for each login, of which one generation is the newest.
//!
//! A client that refreshes gets the next generation. Clients run in several processes that share one refresh token, and
//! answers get lost: so the rotations of a short time are one burst. A token from before the burst gets the newest answer while
//! the burst is open, a token of the newest burst counts as the newest, and any older one ends the login (RFC 9700 §4.14.2).
//!
//! - [`token`]: the text of a refresh token and its proof;
//! - [`decide`]: what a presented token is due, without input or output;
//! - [`record`]: what the store holds; [`store`]: how it gets there.

pub mod decide;
pub mod record;
mod store;
pub mod token;

pub use store::{Families, Rotated, Rotation};
