//! Questions of the command line to a running control, over its HTTP API.

mod client;
mod explain;
mod text;

pub use explain::{AskError, ExplainFlags, explain};
