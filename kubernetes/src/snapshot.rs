//! The whole present list.

use std::collections::BTreeMap;

use crate::kind::Source;
use crate::resource::Resource;
use crate::secret::{SecretId, SecretRead};

/// All watched resources and the Secrets that they name, as of one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The resources, the oldest first.
    pub resources: Vec<Resource>,
    /// The Secrets that they name.
    pub secrets: BTreeMap<SecretId, SecretRead>,
    /// Resources that are left out because there are too many: the newest.
    pub omitted: usize,
}

/// How the watch of one list is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// The list.
    pub source: Source,
    /// Its resources.
    pub resources: usize,
    /// Whether the API server serves the kind; `None`: not known yet.
    pub is_installed: Option<bool>,
    /// When the API server last answered for it, Unix ms; `None`: not yet.
    pub answered_at_ms: Option<u64>,
    /// Why the last attempt failed; `None`: it did not.
    pub fault: Option<String>,
}
