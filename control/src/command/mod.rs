//! The verbs of the command line that have flags of their own.

pub(crate) mod doctor;
pub(crate) mod import;
