//! Records that cannot be read: a login replaces them, and no record is lost that another version or key can still read.

mod grants;
mod lost_key;
mod sessions;
mod stage;
