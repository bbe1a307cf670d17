//! What clients read about the authorization server before they log in: its metadata (RFC 8414) and the keys
//! of its access tokens (RFC 7517).
//!
//! `/.well-known/openid-configuration` is not served: this is no OpenID provider, and clients choose their parser by which
//! of the two documents they found.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::cors::with_cors;
use super::hosted::Hosted;
use crate::config::{AuthorizationConfig, MetadataDocumentHosts, MetadataDocumentsConfig, ServerConfig};

/// Path of the metadata of an issuer without a path (RFC 8414 §3.1).
pub(super) const PATH: &str = "/.well-known/oauth-authorization-server";
/// Path of the key set.
pub(super) const KEYS_PATH: &str = "/jwks";

/// Access tokens of these scopes are issued. `offline_access` changes nothing, and is listed because clients request it.
const SCOPES: [&str; 2] = ["mcp", "offline_access"];

/// RFC 8414 §2, with the members of RFC 9207 §3, RFC 9728 §4 and of client ID metadata documents.
#[derive(Serialize)]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    jwks_uri: String,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    code_challenge_methods_supported: [&'static str; 1],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    client_id_metadata_document_supported: bool,
    authorization_response_iss_parameter_supported: bool,
    scopes_supported: [&'static str; 2],
    protected_resources: Vec<&'a str>,
}

/// How clients authenticate: claude.ai and others take their metadata document as `client_id` only if `none` is listed.
const CLIENT_AUTHENTICATION: [&str; 2] = ["none", "private_key_jwt"];
const ASSERTION_ALGORITHMS: [&str; 3] = ["RS256", "ES256", "EdDSA"];

pub(super) async fn metadata(hosted: Hosted) -> Response {
    let document = document(&hosted.server.config, &hosted.service.config.servers);
    public(&document)
}

pub(super) async fn keys(hosted: Hosted) -> Response {
    public(&hosted.server.keys.jwks())
}

fn document<'a>(config: &'a AuthorizationConfig, servers: &'a [ServerConfig]) -> Metadata<'a> {
    let endpoint = |path: &str| format!("{}{path}", config.issuer);
    Metadata {
        issuer: &config.issuer,
        authorization_endpoint: endpoint("/authorize"),
        token_endpoint: endpoint("/token"),
        registration_endpoint: config.clients.registration.enabled.then(|| endpoint("/register")),
        revocation_endpoint: endpoint("/revoke"),
        jwks_uri: endpoint(KEYS_PATH),
        response_types_supported: ["code"],
        response_modes_supported: ["query"],
        grant_types_supported: ["authorization_code", "refresh_token"],
        code_challenge_methods_supported: ["S256"],
        token_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
        token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        revocation_endpoint_auth_methods_supported: CLIENT_AUTHENTICATION,
        revocation_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
        client_id_metadata_document_supported: accepts_documents(&config.clients.metadata_documents),
        authorization_response_iss_parameter_supported: true,
        scopes_supported: SCOPES,
        protected_resources: servers
            .iter()
            .filter_map(|server| Some(server.resource.as_ref()?.identifier.as_str()))
            .collect(),
    }
}

/// Whether any client can be known by its metadata document. Where none can, a client that reads this registers instead.
fn accepts_documents(config: &MetadataDocumentsConfig) -> bool {
    match &config.hosts {
        MetadataDocumentHosts::Any => true,
        MetadataDocumentHosts::Listed(hosts) => !hosts.is_empty() || !config.pinned.is_empty(),
        MetadataDocumentHosts::Pinned => !config.pinned.is_empty(),
    }
}

/// A public document, which clients and proxies may keep for five minutes: a key is published as `next` for longer than
/// that before it signs.
fn public(document: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(document).unwrap_or_else(|_| b"{}".to_vec());
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
    ];
    with_cors((StatusCode::OK, headers, bytes).into_response())
}
