//! The operators' console, as far as it needs no store and no clock of its own: the names in an ID token, the rule of entry, the
//! sealed cookies, and what a search term can be. Pure.

pub mod access;
pub mod attempt;
pub mod identity;
mod sealed_cookie;
pub mod search;
pub mod session;

pub use sealed_cookie::NotSealed;
