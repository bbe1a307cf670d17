//! Our own authorization server as a deployment has it: its issuer is the gateway's own address, Envoy routes its paths to
//! control, and its client at the home issuer is the aggregator's.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::Digest as _;

use super::{CLIENT, World};
use crate::issuer::Issuer;
use crate::parts::{ControlConfig, EnvoyRoute};
use crate::secrets;

/// The file with the signing key, beside control's configuration.
const KEY_FILE: &str = "access-token-key.pem";
/// Control's paths that browsers and clients open; the documents of resources have a route of their own.
const PUBLIC_PATHS: [&str; 6] = [
    "/.well-known/oauth-authorization-server",
    "/authorize",
    "/token",
    "/register",
    "/revoke",
    "/jwks",
];

/// The authorization server of a gateway at a port that is known before it starts.
#[derive(Debug, Clone)]
pub(super) struct AuthorizationServer {
    pub(super) gateway_port: u16,
    key: Arc<Ed25519KeyPair>,
}

impl AuthorizationServer {
    /// One with a new signing key, at a port that is not known yet.
    pub(super) fn new() -> Self {
        let key = Ed25519KeyPair::generate().expect("random bytes for a key");
        Self {
            gateway_port: 0,
            key: Arc::new(key),
        }
    }

    /// Its issuer identifier.
    pub(super) fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port)
    }

    /// The redirect URI of its client at the home issuer.
    pub(super) fn callback(&self) -> String {
        format!("{}/authorize/callback", self.issuer())
    }

    /// Makes control the authorization server, with `settings` in place of these.
    pub(super) fn configure(&self, config: &mut ControlConfig, home: &str, settings: &[(String, Value)]) {
        config.files.push((KEY_FILE.to_owned(), self.pem().into_bytes()));
        let mut authorization = json!({
            "issuer": self.issuer(),
            "login": {"issuer": home, "client_id": CLIENT.0},
            "signing_keys": {"current": {"file": format!("@{KEY_FILE}")}},
            "clients": {"metadata_documents": {"hosts": "any", "allow_private_addresses": true}},
            "trusted_proxies": 1,
        });
        for (name, value) in settings {
            authorization[name] = value.clone();
        }
        config.settings.push(("authorization".to_owned(), authorization));
    }

    /// The routes of its paths.
    pub(super) fn routes(control: SocketAddr) -> impl Iterator<Item = EnvoyRoute> {
        PUBLIC_PATHS.into_iter().map(move |path| EnvoyRoute {
            name: format!("authorization-{}", path.rsplit('/').next().unwrap_or_default()),
            ..EnvoyRoute::new(path, control)
        })
    }

    /// A compact JWS over `header` and `claims`, with this server's key.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// `kid`: the key's thumbprint (RFC 7638, RFC 8037 §2).
    pub(super) fn key_id(&self) -> String {
        let public = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
        URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(members))
    }

    fn pem(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.key.as_der().expect("the key's own form");
        let body = STANDARD.encode(der.as_ref());
        secrets::note(&body);
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    }
}

impl<I: Issuer> World<I> {
    pub(super) fn authorization(&self) -> &AuthorizationServer {
        let authorization = self.authorization.as_ref();
        authorization.expect("a world with an authorization server: WorldBuilder::authorization")
    }

    /// The issuer identifier of our own authorization server, the gateway's address.
    ///
    /// # Panics
    /// In a world without it.
    pub fn authorization_issuer(&self) -> String {
        self.authorization().issuer()
    }

    /// The URL by which MCP clients know a server: its resource identifier.
    ///
    /// # Panics
    /// In a world without an authorization server.
    pub fn resource(&self, server: &str) -> String {
        format!("{}/{server}/mcp", self.authorization_issuer())
    }
}
