//! Metrics of our own authorization server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

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
    /// Adds the families to `registry`. What an alert reads exists from the start, at 0.
    pub(super) fn register(&self, registry: &mut Registry) {
        let reuse = AuthorizationRequestLabels {
            endpoint: "token",
            outcome: "reuse",
        };
        let _: &Counter = &self.requests.get_or_create(&reuse);
        registry.register(
            "authorization_requests",
            "Requests of MCP clients and their users to the authorization server, by endpoint and outcome",
            self.requests.clone(),
        );
        registry.register(
            "client_documents",
            "Look-ups of clients' metadata documents and key sets, by how they were found or why not",
            self.client_documents.clone(),
        );
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
