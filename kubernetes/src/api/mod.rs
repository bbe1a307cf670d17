//! The calls to the API server. [`client::KubeApi`] calls a real one; tests have their own.

pub mod client;
mod error;
mod objects;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use self::error::ApiError;
pub use crate::object::Object;

use crate::kind::{Kind, Source};
use crate::leader::{LeaseName, LeaseRecord};
use crate::report::{ConditionPatch, EventNote};
use crate::secret::SecretId;

/// A list that can be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// Resources, by this version of their kind.
    Resources(Source, &'static str),
    /// One Secret.
    Secret(SecretId),
}

/// One page of a list.
#[derive(Debug, Clone, Default)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<Object>,
    /// The resource version of the list.
    pub resource_version: String,
    /// Where the next page begins; `None`: this is the last one.
    pub next: Option<String>,
}

/// An event of a watch.
#[derive(Debug, Clone)]
pub enum WatchEvent {
    /// An object was added or changed.
    Applied(Object),
    /// An object was deleted.
    Deleted(Object),
    /// Nothing up to this resource version is missing.
    Bookmark(String),
}

/// The events of a watch.
pub type WatchStream = BoxStream<'static, Result<WatchEvent, ApiError>>;

/// The API server. Every call ends within a time of its own; a watch ends when the API server ends it.
#[async_trait]
pub trait Api: Send + Sync {
    /// The served versions of a group; empty: it is not installed.
    async fn versions(&self, group: &str) -> Result<Vec<String>, ApiError>;

    /// One page of a list, from `from` on.
    async fn list(&self, watched: &Watched, from: Option<&str>) -> Result<ListPage, ApiError>;

    /// What happens to a list after `resource_version`.
    async fn watch(&self, watched: &Watched, resource_version: &str) -> Result<WatchStream, ApiError>;

    /// Whether `status.conditions` of a kind is a list by type, of which each writer can own its entry.
    async fn has_shared_conditions(&self, kind: &'static Kind, version: &str) -> Result<bool, ApiError>;

    /// Writes our condition by server-side apply.
    async fn patch_condition(&self, patch: &ConditionPatch) -> Result<(), ApiError>;

    /// Creates the Event, or counts it again where it exists.
    async fn publish(&self, event: &EventNote) -> Result<(), ApiError>;

    /// The Lease; `None`: there is none.
    async fn lease(&self, name: &LeaseName) -> Result<Option<LeaseRecord>, ApiError>;

    /// Creates the Lease, or replaces what is at `record.resource_version`. [`ApiError::Conflict`]: another replica was first.
    async fn write_lease(&self, name: &LeaseName, record: &LeaseRecord) -> Result<(), ApiError>;
}
