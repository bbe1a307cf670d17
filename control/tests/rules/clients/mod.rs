//! MCP clients of our own authorization server: which programs may request a login, and where codes may be sent.

mod addresses;
mod assertions;
mod caching;
mod document_urls;
mod documents;
mod freshness;
mod redirect_uris;
mod registration;
mod sources;

use std::time::Duration;

use tokenward_control::authorization::client::{Client, ClientAuthentication, ClientKeys, ClientKind};
use tokenward_control::config::{
    ClientsConfig, MetadataDocumentHosts, MetadataDocumentsConfig, RegistrationConfig,
};

pub(crate) const CURSOR: &str = "cursor://anysphere.cursor-mcp/oauth/callback";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn config() -> ClientsConfig {
    ClientsConfig {
        configured: Vec::new(),
        metadata_documents: MetadataDocumentsConfig {
            hosts: MetadataDocumentHosts::Pinned,
            pinned: Vec::new(),
            egress_proxy: None,
            allow_private_addresses: false,
        },
        registration: RegistrationConfig {
            enabled: true,
            lifetime: DAY * 90,
            not_before_seconds: 0,
        },
        private_use_redirects: vec![CURSOR.to_owned()],
    }
}

/// A client with these redirect URIs: public, or one that must prove itself.
pub(crate) fn client(redirect_uris: &[&str], public: bool) -> Client {
    Client {
        id: "https://client.example/oauth/client.json".to_owned(),
        name: "A client".to_owned(),
        kind: ClientKind::MetadataDocument,
        redirect_uris: redirect_uris.iter().map(|&uri| uri.to_owned()).collect(),
        authentication: if public {
            ClientAuthentication::None
        } else {
            ClientAuthentication::PrivateKeyJwt {
                keys: ClientKeys::Inline("{\"keys\":[]}".to_owned()),
                required: true,
            }
        },
    }
}
