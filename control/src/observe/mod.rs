//! Log lines, their throttle, and metrics.

pub mod log;
pub mod metrics;
pub mod throttle;
