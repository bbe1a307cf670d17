//! What filters learn from control: the sign-outs of all replicas, in one log in the store, and the list of servers under a
//! version that only grows.

mod log;
mod page;
mod pages;
mod queue;
pub mod rejected_keys;
pub mod server_list;
mod shared_error;
mod view;

pub use log::{NotOfThisLog, SignOutLog};
pub use pages::SignOutBatch;
