//! An object of the API server.

use serde_json::Value;

/// An object, as far as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`, Unix seconds.
    pub created_at_seconds: i64,
    /// Everything beside the metadata.
    pub body: Value,
}
