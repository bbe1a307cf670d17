//! A running process: the listener with its bounds, reloads, and the orderly end.

mod connection;
mod farewell;
mod listener;
mod pace;
mod paced_stream;
mod preflight;
mod process;
pub mod reload;
mod signals;
mod timed_body;

pub use listener::Listener;
pub use preflight::preflight;
pub use process::{NotServed, longest_stop, serve, serve_until};
pub use timed_body::IntakeLate;
