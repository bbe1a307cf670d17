//! Records that cannot be read: a login takes their place, and nothing that another replica can still read is lost.

mod grants;
mod lost_key;
mod sessions;
mod stage;
mod users;
