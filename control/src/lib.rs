//! The Tokenward control service: sessions, grants, refresh and token exchange.
//!
//! - [`config`]: the YAML, checked, with the line, the column and the cure of every problem;
//! - [`issuer`]: what is said to and heard from an OpenID Connect issuer;
//! - [`grant`]: what an issuer gave for (issuer, client, user), and its one refresh at a time;
//! - [`session`]: one login at the aggregator, a reference to a grant;
//! - [`exchange`]: RFC 8693 exchanges at remote issuers, sealed and shared;
//! - [`store`] and [`seal`]: where all that is kept, and how it is sealed;
//! - [`http`]: the token endpoint, the sessions API, health and metrics;
//! - [`serve`]: the listener, its bounds, and the signals of a running process;
//! - [`doctor`]: looks at everything that the service rests on, and says the cure;
//! - [`import`]: from the aggregator's MCPServer resources to a configuration;
//! - [`service`]: all of it wired together, for `main` and for tests in one process.
//!
//! Decisions are pure functions of a record, a moment and a policy; input and output stay at the edge.

pub mod clock;
pub mod config;
pub mod digest;
pub mod doctor;
pub mod exchange;
pub mod failpoint;
pub mod flight;
pub mod grant;
pub mod http;
pub mod import;
pub mod issuer;
mod kept;
pub mod lease;
mod local_pauses;
pub mod log;
pub mod metrics;
pub mod refused;
pub mod seal;
pub mod sealed;
pub mod serve;
pub mod service;
pub mod session;
pub mod store;
pub mod streak;
mod unread;
mod yaml;
