//! A running process: the listener with its bounds, reloads, and the orderly end.

mod arrival;
mod budget;
mod connection;
mod listener;
mod pace;
mod paced_stream;
mod places;
mod preflight;
mod process;
pub mod reload;
mod signals;

pub(crate) use arrival::Arrival;
pub use budget::{Admission, Budget, Caller, NoRoom, REQUEST_BYTES, UNKNOWN_SHARE};
pub use listener::Listener;
pub use preflight::preflight;
pub use process::{NotServed, longest_stop, serve, serve_until};
