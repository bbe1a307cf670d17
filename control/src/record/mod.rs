//! Records of the store: their encoding, the sealing of tokens inside them, and records that cannot be decoded.

pub(crate) mod codec;
pub mod keyring;
pub mod sealed;
pub(crate) mod secret_text;
pub(crate) mod unreadable;
