//! The verbs of the command line that have flags of their own.

pub(crate) mod client_keys;
pub(crate) mod doctor;
pub(crate) mod import;
