//! The running process: the listener and its limits, configuration reloads, and graceful shutdown.

mod authorization;
mod budget;
mod certificates;
mod connection;
mod connection_slots;
mod console;
mod error;
mod filter_module;
mod handshake_error;
mod kubernetes;
mod listener;
mod preflight;
mod process;
mod progress;
pub mod reload;
pub mod reload_socket;
mod reloader;
mod request_tracker;
mod signals;
mod tls;
mod tracked_stream;
mod watch;

pub use budget::REQUEST_BYTES;
pub(crate) use budget::{Admission, Budget, Caller, NoRoom, UNKNOWN_SHARE};
pub(crate) use connection::PeerAddress;
pub use console::serve_console;
pub use error::ServeError;
pub use listener::Listener;
pub use preflight::preflight;
pub use process::{longest_stop, serve, serve_until};
pub use reloader::Reloader;
pub(crate) use request_tracker::RequestTracker;
pub use tls::ListenerTls;
