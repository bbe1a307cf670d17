//! Logging, its throttle, and metrics.

pub mod log;
pub mod metrics;
pub mod throttle;
pub(crate) mod trace;
