//! The configuration of one client at one issuer.

use secrecy::SecretString;
use url::Url;

use super::relay::RelayConfig;
use crate::upstream::dialect::Dialect;
pub use crate::upstream::dialect::rules::{IssuerPolicy, RefreshTokens, SignOutAtIssuer};

/// How a client authenticates itself at an issuer (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// `client_secret_basic`: in the `Authorization` header.
    #[default]
    Basic,
    /// `client_secret_post`: in the form.
    Post,
    /// `private_key_jwt`: an assertion that the client's key signs (OpenID Connect Core §9).
    PrivateKeyJwt,
}

impl ClientAuth {
    /// The name in the configuration and in the doctor's report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Post => "post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The name in `token_endpoint_auth_methods_supported` (RFC 8414 §2).
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// Why an issuer counts as one of its dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialectSource {
    /// The configuration names it.
    Configured,
    /// The issuer's address shows it.
    Address,
    /// The issuer's discovery document shows it, or shows that it is none of the known products.
    Document,
    /// Nothing shows it.
    Default,
}

/// What the configuration states of an issuer beside its dialect; the dialect decides about the rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatedTreatment {
    /// `policy`.
    pub policy: Option<IssuerPolicy>,
    /// `refresh_tokens`.
    pub refresh_tokens: Option<RefreshTokens>,
    /// `sign_out`.
    pub sign_out: Option<SignOutAtIssuer>,
}

/// One client at one issuer.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// The client that logs in and refreshes.
    pub client_id: String,
    /// What proves the client: its secret, or with `private_key_jwt` its private key in PEM.
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
    /// The kind of the issuer.
    pub dialect: Dialect,
    /// Why it counts as that kind.
    pub dialect_source: DialectSource,
    /// What the configuration states beside it.
    pub stated: StatedTreatment,
    /// Whether each login has a refresh token of its own.
    pub refresh_tokens: RefreshTokens,
    /// What control does at the issuer when a login ends here.
    pub sign_out: SignOutAtIssuer,
    /// How control answers this client at the issuer's public token endpoint; `None`: the gateway routes nothing of the
    /// issuer to control.
    pub relay: Option<RelayConfig>,
}

impl IssuerConfig {
    /// The configuration of an issuer that is of this `dialect`: what it does not state follows from that.
    #[must_use]
    pub fn of_dialect(self, dialect: Dialect, source: DialectSource) -> Self {
        let stated = self.stated;
        Self {
            dialect,
            dialect_source: source,
            policy: stated.policy.unwrap_or(dialect.policy()),
            refresh_tokens: stated.refresh_tokens.unwrap_or(dialect.refresh_tokens()),
            sign_out: stated.sign_out.unwrap_or(dialect.sign_out()),
            ..self
        }
    }

    /// Whether tokens that were issued to `client_id` count as this client's.
    #[must_use]
    pub fn trusts(&self, client_id: &str) -> bool {
        client_id == self.client_id || self.trusted_peers.iter().any(|peer| peer == client_id)
    }
}
