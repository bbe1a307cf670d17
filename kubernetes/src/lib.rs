//! The Kubernetes resources that name MCP servers: watched, bounded, and returned as plain data.
//!
//! [`Watching`] follows the configured kinds ([`Kind`]) and the Secrets that their resources name, and publishes the whole
//! present list ([`Snapshot`]) whenever it has settled. What is decided about each resource comes back as a [`Verdict`];
//! one replica, the holder of a Lease, writes it to the resource: an Event, and a condition where the kind has room for
//! one. What a resource means is not decided here: this crate knows no issuers and no servers.
//!
//! Decisions are pure ([`collection`], [`backoff`], [`leader`], [`report`]); everything that reaches the API server goes
//! through the trait [`api::Api`].

pub mod api;
pub mod backoff;
pub mod collection;
pub mod kind;
pub mod leader;
mod object;
pub mod report;
pub mod resource;
pub mod secret;
pub mod snapshot;
mod text;
pub mod verdict;
mod watch;

pub use kind::{Kind, Selection};
pub use resource::{Resource, ResourceId};
pub use secret::{SecretId, SecretRead, SecretReference};
pub use snapshot::{Snapshot, SourceState};
pub use verdict::{Outcome, Verdict};
pub use watch::{LeaseSettings, Settings, Watching};
