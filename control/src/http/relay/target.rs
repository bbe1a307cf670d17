//! Where a relayed request goes.

use std::sync::Arc;

use crate::app::Service;
use crate::app::relay::RelayEndpoint;
use crate::upstream::issuer::HomeIssuer;

/// A request's way to an issuer: the service that was current when it arrived, and where it arrived.
#[derive(Clone)]
pub(crate) struct RelayedTo {
    pub(crate) service: Arc<Service>,
    pub(crate) endpoint: Arc<RelayEndpoint>,
    /// The client whose secret the `Authorization` header holds.
    pub(crate) client: Option<Arc<HomeIssuer>>,
}
