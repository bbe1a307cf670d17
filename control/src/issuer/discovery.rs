//! OpenID Connect Discovery 1.0: where an issuer's token endpoint and keys are.

use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::client::IssuerClient;
use crate::config::endpoint::{is_loopback, parse_endpoint};

/// An issuer's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Where refreshes go.
    pub token_endpoint: Url,
    /// Where the keys are.
    pub jwks_uri: Url,
    /// Where it says what a token is still good for (RFC 7662), if it does.
    pub introspection_endpoint: Option<Url>,
}

/// Why the endpoints are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFailed {
    /// Waiting may help.
    #[error("discovery failed: {0}")]
    Unavailable(String),
    /// An operator must look.
    #[error("the discovery document is not usable: {0}")]
    Unusable(String),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: Option<String>,
}

/// Endpoints from the configuration, completed by discovery once, when first needed.
#[derive(Debug)]
pub struct Discovery {
    issuer: String,
    token_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    found: Mutex<Option<Endpoints>>,
}

impl Discovery {
    /// What is configured; `None` is asked for at the issuer.
    #[must_use]
    pub fn new(issuer: String, token_endpoint: Option<Url>, jwks_uri: Option<Url>) -> Self {
        Self {
            issuer,
            token_endpoint,
            jwks_uri,
            found: Mutex::new(None),
        }
    }

    /// The token endpoint.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn token_endpoint(&self, client: &IssuerClient) -> Result<Url, DiscoveryFailed> {
        match &self.token_endpoint {
            Some(url) => Ok(url.clone()),
            None => Ok(self.found(client).await?.token_endpoint),
        }
    }

    /// The address of the keys.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn jwks_uri(&self, client: &IssuerClient) -> Result<Url, DiscoveryFailed> {
        match &self.jwks_uri {
            Some(url) => Ok(url.clone()),
            None => Ok(self.found(client).await?.jwks_uri),
        }
    }

    /// The introspection endpoint, where the issuer has one.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn introspection_endpoint(
        &self,
        client: &IssuerClient,
    ) -> Result<Option<Url>, DiscoveryFailed> {
        Ok(self.found(client).await?.introspection_endpoint)
    }

    /// One fetch at a time; a failure is not kept.
    async fn found(&self, client: &IssuerClient) -> Result<Endpoints, DiscoveryFailed> {
        let mut found = self.found.lock().await;
        if let Some(endpoints) = &*found {
            return Ok(endpoints.clone());
        }
        let address = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let url = Url::parse(&address)
            .map_err(|_| DiscoveryFailed::Unusable("the issuer is not a URL".to_owned()))?;
        let answer = client
            .get(&url)
            .await
            .map_err(|failed| DiscoveryFailed::Unavailable(failed.to_string()))?;
        if answer.status != 200 {
            let cause = format!("status {}", answer.status);
            return Err(if answer.status >= 500 || answer.status == 429 {
                DiscoveryFailed::Unavailable(cause)
            } else {
                DiscoveryFailed::Unusable(cause)
            });
        }
        let endpoints = read_document(&self.issuer, &answer.body)?;
        *found = Some(endpoints.clone());
        Ok(endpoints)
    }
}

/// Reads a discovery document of `issuer`.
///
/// # Errors
/// [`DiscoveryFailed::Unusable`] for another issuer (OIDC Discovery §4.3: exactly the same, no forgiveness for a
/// slash), for an endpoint that is not https, and for one on the loopback when the issuer is not.
pub fn read_document(issuer: &str, body: &[u8]) -> Result<Endpoints, DiscoveryFailed> {
    let unusable = |cause: &str| DiscoveryFailed::Unusable(cause.to_owned());
    let document: Document =
        serde_json::from_slice(body).map_err(|_| unusable("it is not the JSON of RFC 8414"))?;
    if document.issuer != issuer {
        return Err(unusable(
            "it names another issuer; the configured issuer must be byte for byte the same",
        ));
    }
    let at_home = parse_endpoint(issuer).is_ok_and(|url| is_loopback(&url));
    let endpoint = |name: &str, text: &str| match parse_endpoint(text) {
        Ok(url) if at_home || !is_loopback(&url) => Ok(url),
        Ok(_) => Err(unusable(&format!("its {name} is on the loopback"))),
        Err(bad) => Err(unusable(&format!("its {name} {bad}"))),
    };
    Ok(Endpoints {
        token_endpoint: endpoint("token_endpoint", &document.token_endpoint)?,
        jwks_uri: endpoint("jwks_uri", &document.jwks_uri)?,
        // Seldom needed: what is wrong with it must not keep anybody from a refresh.
        introspection_endpoint: document
            .introspection_endpoint
            .and_then(|text| endpoint("introspection_endpoint", &text).ok()),
    })
}
