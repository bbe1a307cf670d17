//! Metrics of our own authorization server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{Metrics, begin};

/// Endpoints and outcomes of the usual way of a login, and the one that an alert reads.
const BORN: [(&str, &str); 8] = [
    ("authorize", "consent_asked"),
    ("consent", "allowed"),
    ("callback", "logged_in"),
    ("register", "registered"),
    ("token", "issued"),
    ("token", "refreshed"),
    ("token", "reuse"),
    ("revoke", "ended"),
];

/// Labels of the family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuthorizationRequestLabels {
    /// `authorize`, `consent`, `callback`, `token`, `register`, `revoke`.
    endpoint: &'static str,
    /// What happened, or a refusal's name.
    outcome: &'static str,
}

/// Labels of the family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientDocumentLabels {
    /// How it was found, or why not.
    outcome: &'static str,
}

/// Counters of the requests of MCP clients and their users. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AuthorizationMetrics {
    /// `tokenward_authorization_requests_total{endpoint,outcome}`.
    requests: Family<AuthorizationRequestLabels, Counter>,
    /// `tokenward_client_documents_total{outcome}`.
    client_documents: Family<ClientDocumentLabels, Counter>,
}

impl AuthorizationMetrics {
    /// The families, added to `registry`. What an alert reads exists from the start, at 0.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (endpoint, outcome) in BORN {
            begin(
                &metrics.requests,
                &AuthorizationRequestLabels { endpoint, outcome },
            );
        }
        registry.register(
            "authorization_requests",
            "Requests of MCP clients and their users to the authorization server, by endpoint and outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "client_documents",
            "Look-ups of clients' metadata documents and key sets, by how they were found or why not",
            metrics.client_documents.clone(),
        );
        metrics
    }

    /// Counts a look-up of a client's metadata document.
    pub fn client_document(&self, outcome: &'static str) {
        self.client_documents
            .get_or_create(&ClientDocumentLabels { outcome })
            .inc();
    }

    /// Counts a response of `endpoint`.
    pub fn request(&self, endpoint: &'static str, outcome: &'static str) {
        self.requests
            .get_or_create(&AuthorizationRequestLabels { endpoint, outcome })
            .inc();
    }
}

impl Metrics {
    /// Counts a response of an endpoint of our own authorization server.
    pub fn authorization_request(&self, endpoint: &'static str, outcome: &'static str) {
        self.authorization.request(endpoint, outcome);
    }
}
