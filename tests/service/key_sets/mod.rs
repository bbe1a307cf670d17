//! Key sets that are late, odd or without a key, and keys that were withdrawn.

mod not_used;
mod not_yet_known;
mod stage;
mod withdrawn;
