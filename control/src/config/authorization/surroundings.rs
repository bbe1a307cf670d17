//! The rest of the configuration, as far as `authorization` is checked against it.

use std::time::Duration;

use crate::config::{IssuerConfig, ServerConfig};

/// The parts of the configuration that `authorization` refers to.
pub(in crate::config) struct Surroundings<'a> {
    pub(in crate::config) issuers: &'a [IssuerConfig],
    pub(in crate::config) servers: &'a [ServerConfig],
    /// Whether resources of the cluster are servers too: a server that is not among `servers` may come.
    pub(in crate::config) has_resources: bool,
    pub(in crate::config) session_lifetime: Duration,
    /// Whether another part has a problem, so that what seems to be missing here may only be faulty there.
    pub(in crate::config) has_problems: bool,
}
