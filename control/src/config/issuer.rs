//! The configuration of one client at one issuer.

use secrecy::SecretString;
use url::Url;

use super::relay::RelayConfig;
use crate::upstream::dialect::Dialect;

/// How an issuer treats a refresh token that is presented twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuerPolicy {
    /// It accepts reuse within an interval (Dex): presenting a token again is safe.
    Tolerant,
    /// It may revoke the login (RFC 9700 §4.14.2): a token must never be presented twice.
    Strict,
}

/// How a client authenticates itself at an issuer (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// `client_secret_basic`: in the `Authorization` header.
    #[default]
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

impl ClientAuth {
    /// The name in the configuration and in the doctor's report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
        }
    }
}

/// One client at one issuer.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// The client that logs in and refreshes.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// The token endpoint; `None`: from discovery.
    pub token_endpoint: Option<Url>,
    /// The key set; `None`: from discovery.
    pub jwks_uri: Option<Url>,
    /// Other clients of this issuer whose tokens (`azp`) count as this client's: those configured for the same issuer, and
    /// the ones that the operator lists (Dex: `trustedPeers`).
    pub trusted_peers: Vec<String>,
    /// How the issuer treats a refresh token that is presented twice.
    pub policy: IssuerPolicy,
    /// Signing keys, present or past, that are not trusted: their `kid`s or RFC 7638 thumbprints.
    pub rejected_keys: Vec<String>,
    /// The client's authentication method; `None`: from discovery.
    pub client_auth: Option<ClientAuth>,
    /// Its error texts.
    pub dialect: Dialect,
    /// How control answers this client at the issuer's public token endpoint; `None`: the gateway routes nothing of the
    /// issuer to control.
    pub relay: Option<RelayConfig>,
}

impl IssuerConfig {
    /// Whether tokens that were issued to `client_id` count as this client's.
    #[must_use]
    pub fn trusts(&self, client_id: &str) -> bool {
        client_id == self.client_id || self.trusted_peers.iter().any(|peer| peer == client_id)
    }
}
