//! The configuration of our own authorization server for MCP clients (`authorization:`).

mod check;
mod clients;
mod guide;
mod keys;
mod login;
mod moment;
mod origin;
pub(super) mod raw;
mod surroundings;

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::upstream::dialect::Dialect;

pub use self::guide::guide;

pub(super) use self::check::{authorization, resource_metadata};
pub(super) use self::surroundings::Surroundings;

/// What the `client_id` of every registration begins with; no configured client's does.
pub const REGISTERED_CLIENT_PREFIX: &str = "twc1.";

pub(crate) use self::origin::PATHS as AUTHORIZATION_PATHS;

impl UpstreamLoginConfig {
    /// The scopes of a login at an issuer of this `dialect`, without those for audiences, separated by single spaces.
    #[must_use]
    pub fn scope(&self, dialect: Dialect) -> String {
        match &self.scopes {
            Some(scopes) => scopes.join(" "),
            None => dialect.login_scopes().join(" "),
        }
    }
}

/// Our own authorization server (OAuth 2.1, MCP authorization): issuer, upstream login, keys, lifetimes and clients.
#[derive(Debug, Clone)]
pub struct AuthorizationConfig {
    /// Its issuer identifier, byte for byte as clients compare it (RFC 8414 §3.3): an https origin without a path; http
    /// only on a loopback host.
    pub issuer: String,
    /// The parsed issuer. Endpoints are `{issuer}/authorize` and so on.
    pub url: Url,
    /// Where users log in.
    pub login: UpstreamLoginConfig,
    /// The keys of access tokens.
    pub signing_keys: SigningKeysConfig,
    /// Lifetime of an access token, at most one hour.
    pub access_token_lifetime: Duration,
    /// A login that no client has refreshed for this long ends.
    pub refresh_token_lifetime: Duration,
    /// A login ends this long after the user logged in, however often it is refreshed.
    pub login_lifetime: Duration,
    /// How long a refresh token gets the newest answer again after it was first used; 0 to 300 s.
    pub replay_window: Duration,
    /// The server for which a client without `resource` gets its token (MCP 2025-03-26); `None`: the only configured one,
    /// or none.
    pub default_server: Option<String>,
    /// Which programs may ask.
    pub clients: ClientsConfig,
    /// Which clients' consents are remembered.
    pub remembered_consent: RememberedConsentConfig,
    /// Number of trusted proxies in front of control that append to `X-Forwarded-For`. The address that the outermost of
    /// them appended is the source of a request; 0: the peer's own address.
    pub trusted_proxies: usize,
}

/// The upstream login: one of `issuers[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamLoginConfig {
    /// `iss`, one of `issuers[].issuer`.
    pub issuer: String,
    /// The client there, one of `issuers[].client_id`.
    pub client_id: String,
    /// Requested scopes, without those for audiences; they contain `openid` and `offline_access`. `None`: those of the
    /// issuer's dialect.
    pub scopes: Option<Vec<String>>,
    /// Further parameters of the authorization request (Auth0: `audience`).
    pub parameters: BTreeMap<String, String>,
    /// Dex's `connector_id`: skips its page of connectors.
    pub connector_id: Option<String>,
    /// The authorization endpoint as users' browsers reach it; `None`: from discovery.
    pub authorization_endpoint: Option<Url>,
}

/// Ed25519 private keys as PKCS#8 PEM. Both verify and are published; only the current one signs.
#[derive(Debug, Clone)]
pub struct SigningKeysConfig {
    /// Signs.
    pub current: SecretString,
    /// The key that will be current, or the one that was.
    pub next: Option<SecretString>,
}

/// Which programs may ask for tokens, in this order: configured, by metadata document, registered.
#[derive(Debug, Clone)]
pub struct ClientsConfig {
    /// Configured clients.
    pub configured: Vec<ConfiguredClient>,
    /// Clients whose `client_id` is the URL of their metadata document (CIMD).
    pub metadata_documents: MetadataDocumentsConfig,
    /// Clients that register themselves (RFC 7591).
    pub registration: RegistrationConfig,
    /// Redirect URIs with a private-use scheme (RFC 8252 §7.1) that clients may have, compared exactly.
    pub private_use_redirects: Vec<String>,
}

/// A client in the configuration.
#[derive(Debug, Clone)]
pub struct ConfiguredClient {
    /// `client_id`.
    pub client_id: String,
    /// The name that the consent page shows.
    pub name: String,
    /// Its redirect URIs.
    pub redirect_uris: Vec<String>,
    /// Its public keys (a JWK set, JSON) for `private_key_jwt`; `None`: a public client.
    pub jwks: Option<String>,
}

/// Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document).
#[derive(Debug, Clone)]
pub struct MetadataDocumentsConfig {
    /// Which documents are accepted.
    pub hosts: MetadataDocumentHosts,
    /// Copies of documents that are never fetched: `client_id` and the document (JSON).
    pub pinned: Vec<PinnedDocument>,
    /// The proxy through which documents are fetched; `None`: directly.
    pub egress_proxy: Option<Url>,
    /// Whether documents on special-purpose addresses and other ports than 443 are fetched: for tests on one machine.
    pub allow_private_addresses: bool,
}

/// The hosts whose metadata documents are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataDocumentHosts {
    /// None: only pinned copies.
    Pinned,
    /// These, compared exactly. By default those of the table of known clients.
    Listed(Vec<String>),
    /// Any public host.
    Any,
}

/// A pinned metadata document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedDocument {
    /// The URL that is the `client_id`.
    pub client_id: String,
    /// The document, JSON.
    pub document: String,
}

/// Dynamic client registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationConfig {
    /// Whether clients can register.
    pub enabled: bool,
    /// A registered `client_id` is accepted for this long; then its client registers again.
    pub lifetime: Duration,
    /// Registrations made before this moment (Unix seconds) are not accepted any more.
    pub not_before_seconds: u64,
}

/// Remembered consents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedConsentConfig {
    /// `client_id`s (https URLs) whose consent is remembered; empty: the page is always shown.
    pub clients: Vec<String>,
    /// For how long.
    pub lifetime: Duration,
}
