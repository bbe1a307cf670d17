//! Envoys: the filter's own workers over a host of plain data.

mod envoy;
mod host;

pub(crate) use envoy::{Envoy, Held, Outcome, Request};
