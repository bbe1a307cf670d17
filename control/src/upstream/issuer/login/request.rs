//! The authorization request: where the user's browser goes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::config::{IssuerConfig, ServerConfig, UpstreamLoginConfig};
use crate::context::Context;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::discovery::{Discovery, DiscoveryFailed};

/// Why it is not known where users log in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthorizationEndpoint {
    /// The discovery document cannot be had.
    #[error(transparent)]
    Discovery(#[from] DiscoveryFailed),
    /// It names no usable one.
    #[error(
        "the issuer's discovery document has no usable authorization_endpoint: set \
         authorization.login.authorization_endpoint"
    )]
    Absent,
}

/// The request for one login.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    /// Where the issuer sends the browser back to.
    pub redirect_uri: &'a str,
    /// Requested scopes, separated by single spaces.
    pub scope: &'a str,
    /// `state`, which the issuer returns.
    pub state: &'a SecretString,
    /// `nonce`, which the issuer puts into the ID token.
    pub nonce: &'a str,
    /// `code_challenge`, S256.
    pub code_challenge: &'a str,
}

/// The scopes of a login: those of the configuration, and those that put the audiences of every server which is given the
/// login's own token into it. All sessions of a user may share one grant, and then a login for one server serves them all.
#[must_use]
pub fn requested_scope(
    login: &UpstreamLoginConfig,
    issuer: &IssuerConfig,
    servers: &[ServerConfig],
) -> String {
    // The client itself must stay in `aud`, also beside other audiences.
    let mut audiences = vec![issuer.client_id.clone()];
    for server in servers {
        if server.token.is_forward() {
            for audience in &server.required_audiences {
                if !audiences.contains(audience) {
                    audiences.push(audience.clone());
                }
            }
        }
    }
    let scopes = login.scope(issuer.dialect);
    issuer.dialect.scopes_for(&scopes, &audiences, &issuer.client_id)
}

impl HomeIssuer {
    /// Where the user's browser goes to log in.
    ///
    /// # Errors
    /// [`NoAuthorizationEndpoint`].
    pub async fn login_url(
        &self,
        context: &Context,
        login: &UpstreamLoginConfig,
        request: &LoginRequest<'_>,
    ) -> Result<Url, NoAuthorizationEndpoint> {
        let mut url = match &login.authorization_endpoint {
            Some(url) => {
                // Whether responses have `iss` is known from the document; without one they are taken as they are.
                let discovery: &Arc<Discovery> = &self.discovery;
                let _ = discovery.ensure_read(context).await;
                url.clone()
            }
            None => self
                .discovery
                .authorization_endpoint(context)
                .await?
                .ok_or(NoAuthorizationEndpoint::Absent)?,
        };
        let connector = login
            .connector_id
            .as_deref()
            .and_then(|id| self.config.dialect.connector_parameter(id));
        let (scope, own_parameters) = self.config.dialect.login_request(request.scope);
        let stated = |name: &str| login.parameters.contains_key(name);
        let own_parameters = own_parameters.iter().filter(|(name, _)| !stated(name));
        url.query_pairs_mut()
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", self.config.client_id.as_str()),
                ("redirect_uri", request.redirect_uri),
                ("scope", scope.as_str()),
                ("state", request.state.expose_secret()),
                ("nonce", request.nonce),
                ("code_challenge", request.code_challenge),
                ("code_challenge_method", "S256"),
            ])
            .extend_pairs(connector)
            .extend_pairs(own_parameters)
            .extend_pairs(&login.parameters);
        Ok(url)
    }
}

/// The code challenge of `verifier`, S256 (RFC 7636 §4.2).
#[must_use]
pub fn s256(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret().as_bytes()))
}
