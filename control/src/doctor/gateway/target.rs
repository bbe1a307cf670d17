//! What the doctor looks at besides the dependencies in the configuration.

use serde_json::Value;
use url::Url;

/// Addresses and documents that an operator names on the command line.
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// Control itself, as its callers reach it.
    pub control: Option<Url>,
    /// SHA-256 (lower-case hex) of the filter module that the gateway is configured with.
    pub filter_sha256: Option<String>,
    /// URLs at the gateway: of a server as its clients use it, or with the path `/` for every server with a `resource`.
    pub gateways: Vec<Url>,
    /// Envoy's admin interface.
    pub envoy_admin: Option<Url>,
    /// What `kubectl get envoyextensionpolicies,envoypatchpolicies,httproutes -A -o json` prints.
    pub resources: Option<Value>,
}

impl Targets {
    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.control.is_none()
            && self.gateways.is_empty()
            && self.envoy_admin.is_none()
            && self.resources.is_none()
    }
}
