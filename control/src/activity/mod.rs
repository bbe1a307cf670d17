//! What happened to users, sessions and servers, for people to look at: events (logins, sign-outs, refusals that began or
//! ended, failed refreshes, withdrawn keys, reloads), and the last outcome of each pair of session and server.
//!
//! - [`event`] and [`pair`] are plain data;
//! - [`history`] stores them, sealed, and reads them back, for all replicas;
//! - [`recorder`] takes them from the use cases. It never delays or fails a request: it has a bounded queue, one [`writer`]
//!   behind it, and counts what it drops.
//!
//! Decisions never rest on any of it.

pub mod event;
pub mod history;
pub mod pair;
pub mod recorder;
mod seen;
mod writer;

pub use event::{Actor, Event, EventKind, User, Via};
pub use history::{History, Page, Recorded};
pub use pair::{PairOutcome, PairRecord};
pub use recorder::Recorder;
