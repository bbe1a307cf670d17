//! Logging, its throttle, and metrics.

pub mod activity_metrics;
pub mod authorization_metrics;
pub mod log;
pub mod metrics;
pub mod relay_metrics;
pub(crate) mod throttle;
pub(crate) mod trace;
