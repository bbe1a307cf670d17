//! What the filter learns from control: its servers, and what has ended by sign-outs (ADR 37).
//!
//! One VM of the whole Envoy polls control ([`lease`]) and stores the answers in shared data ([`documents`]); every VM reads
//! them from there when the small [`documents::Head`] has changed. They outlive the VMs, so a new module starts with the state
//! that its predecessor had, whether control answers or not.

pub mod documents;
pub mod frame;
mod learned;
pub mod lease;
mod poll_outcome;
mod sign_outs;

pub(crate) use learned::{Learned, POLL_TIMEOUT_MS, UnderWay};
pub use poll_outcome::PollOutcome;
pub use sign_outs::SignOuts;
