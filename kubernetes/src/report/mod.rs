//! What the leader writes to resources: for each verdict a condition where the kind has room for one, and an Event where
//! something is to be corrected or has been.
//!
//! Nothing is written twice: a condition is compared with what the resource has, and an Event is named after its content,
//! so that also the next leader finds that it exists. A resource gets at most one of each in a minute, whatever its writers
//! do, and a pass is bounded.

mod plan;

pub use self::plan::{Plan, Reports};

use crate::kind::Kind;
use crate::resource::ResourceId;

/// The name under which Tokenward owns fields and reports Events.
pub const MANAGER: &str = "tokenward";

/// A condition to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionPatch {
    /// The resource.
    pub resource: ResourceId,
    /// The version of the API.
    pub version: String,
    /// Its UID: a resource of the same name that was created since is another one.
    pub uid: String,
    /// `status`.
    pub is_true: bool,
    /// `reason`.
    pub reason: &'static str,
    /// `message`.
    pub message: String,
    /// `observedGeneration`.
    pub generation: i64,
    /// `lastTransitionTime`; `None`: now.
    pub since: Option<String>,
}

/// An Event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNote {
    /// The name of the Event: the same for the same content.
    pub name: String,
    /// The resource that it is about.
    pub resource: ResourceId,
    /// The version of the API.
    pub version: String,
    /// The resource's UID.
    pub uid: String,
    /// `Warning`; otherwise `Normal`.
    pub is_warning: bool,
    /// `reason`.
    pub reason: &'static str,
    /// `note`.
    pub note: String,
}

/// Whether a kind's conditions can be shared, as far as it is known.
pub type SharedConditions<'a> = &'a dyn Fn(&'static Kind, &str) -> bool;
