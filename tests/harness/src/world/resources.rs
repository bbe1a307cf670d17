//! Protected resource metadata (RFC 9728) as a deployment has it: each server is a resource at the gateway's own
//! address, control serves the documents, and Envoy leads their addresses to control.

use std::net::SocketAddr;

use crate::parts::EnvoyRoute;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The resources of a gateway at a port that is known before it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resources {
    pub(super) gateway_port: u16,
}

impl Resources {
    /// The URL that clients use for a server: `servers[].resource` of control.
    pub(super) fn resource(self, server: &str) -> String {
        format!("http://127.0.0.1:{}/{server}/mcp", self.gateway_port)
    }

    /// Where its document is (§3.1): `resource_metadata` of the filter.
    pub(super) fn document(self, server: &str) -> String {
        format!("http://127.0.0.1:{}{WELL_KNOWN}/{server}/mcp", self.gateway_port)
    }

    /// The route of all documents.
    pub(super) fn route(control: SocketAddr) -> EnvoyRoute {
        EnvoyRoute {
            name: "resource-documents".to_owned(),
            ..EnvoyRoute::new(WELL_KNOWN, control)
        }
    }
}
