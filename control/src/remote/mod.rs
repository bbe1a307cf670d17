//! Questions of the command line to a running control, over its HTTP API.

mod client;
mod error;
mod explain;
mod text;

pub use error::AskError;
pub use explain::{ExplainFlags, explain};
