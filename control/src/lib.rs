//! The Tokenward control service: sessions, grants, refresh and token exchange.
//!
//! - [`config`]: parses and checks the YAML configuration; each problem has a line, a column and a hint;
//! - [`serve`]: the listener, its limits, and the signals of a running process;
//! - [`http`]: the token endpoint, the sessions API, health and metrics;
//! - [`app`]: the use cases behind the endpoints, for `main` and for tests in one process;
//! - [`session`]: one login at the aggregator, a reference to a grant;
//! - [`upstream`]: issuers, grants and exchanges;
//! - [`filter_state`]: what filters learn from control: the log of sign-outs, and the list of servers;
//! - [`servers`]: from the aggregator's MCPServer resources to a configuration;
//! - [`activity`] and [`audit`]: what happened to users and sessions, for people to look at;
//! - [`store`], [`record`] and [`coordination`]: the key-value store, records and their sealing, single-flight and leases;
//! - [`tls`]: certificates and keys of listeners;
//! - [`console`]: rules of the operators' page;
//! - [`remote`]: questions of the command line to a running control;
//! - [`observe`]: logs and metrics; [`doctor`]: checks every dependency of a deployment and gives hints; [`keygen`]: makes
//!   a signing key.
//!
//! Decisions are pure functions of a record, a time and a policy; input and output stay at the edge.

pub mod activity;
pub mod app;
pub mod audit;
pub mod authorization;
pub mod clock;
pub mod config;
pub mod console;
pub mod context;
pub mod coordination;
pub mod digest;
pub mod doctor;
mod failpoint;
pub mod filter_state;
pub mod http;
pub mod keygen;
pub mod observe;
pub mod record;
mod refused;
pub mod remote;
pub mod serve;
pub mod servers;
pub mod session;
pub mod store;
pub mod tls;
pub mod upstream;
mod yaml;
