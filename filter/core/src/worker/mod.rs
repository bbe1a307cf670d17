//! The filter that protects servers: what one worker remembers, and what it does with each event.
//!
//! Generic over the [`crate::host::Host`], so that the same code runs in Envoy and in native tests. `state` holds what a
//! worker remembers; every other file adds one event or one task to it.

mod call;
mod call_history;
mod call_permit;
mod control_response;
mod ended;
mod gate;
mod gate_cache;
mod memory_use;
mod new_servers;
mod polling;
mod presented;
mod recovery;
mod refusal;
mod request;
mod response;
mod state;
mod token_state;
mod watch;

pub use control_response::{ControlResponse, LONGEST_RESPONSE_BYTES};
pub use memory_use::MemoryUse;
pub use state::TICK_MS;
pub(crate) use state::Worker;
pub use watch::Watch;

pub use crate::flight::MOST_WAITERS;
