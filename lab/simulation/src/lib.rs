//! Many gateways, users and replicas of control under virtual time: what a deployment of this size would do in an hour.
//!
//! The workers are the product's own ([`tokenward_filter_core::filter::Filter`]). Of control these are: the decisions about grants and
//! exchanges, the refresh attempt, the records with their encoding, bucket and breaker of the issuers' limits, and the throttle of
//! WARN lines. Clients, servers, issuers, the store and the way between them are the simulation's. docs/scale.md describes the
//! model and the results.
//!
//! A step is the filter's tick, a tenth of a second. In each step all gateways act first, in threads that share nothing, then
//! control does; its answers reach the gateways in the next step. So a run depends on its options alone.

mod clients;
mod control;
mod count;
mod gateway;
mod message;
mod options;
mod population;
mod random;
mod report;
mod run;
mod servers;
mod shard;
mod token;

pub use count::Count;
pub use options::{Incident, IssuerLimits, Options};
pub use report::{Memory, Minute, Peaks, Report, StoreSize};
pub use run::simulate;
