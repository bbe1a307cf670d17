//! Logging, its throttle, and metrics.

pub mod log;
pub mod metrics;
pub(crate) mod throttle;
pub(crate) mod trace;
