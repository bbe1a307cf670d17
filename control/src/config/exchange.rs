//! The configuration of one exchange at a remote issuer.

use secrecy::{ExposeSecret as _, SecretString};
use tokenward_protocol::token_endpoint::TOKEN_TYPE_ID_TOKEN;
use url::Url;

use super::issuer::ClientAuth;
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::rules::{ExchangeGrant, SubjectKind};

/// How control makes sure of the token in a remote issuer's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// It is a JWT: by signature and claims.
    #[default]
    Signature,
    /// It may be opaque: by the remote issuer's introspection endpoint (RFC 7662).
    Introspection,
    /// It may be opaque, and is believed as it came, for the `expires_in` of the answer.
    ExpiresIn,
}

impl Verification {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Signature, Self::Introspection, Self::ExpiresIn];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Introspection => "introspection",
            Self::ExpiresIn => "expires_in",
        }
    }

    /// Whether nothing is read from the token itself.
    #[must_use]
    pub const fn is_opaque(self) -> bool {
        !matches!(self, Self::Signature)
    }
}

/// An exchange at a remote issuer: RFC 8693, or a JWT as authorization grant (RFC 7523 §2.1).
#[derive(Debug, Clone)]
pub struct ExchangeConfig {
    /// The remote token endpoint.
    pub token_endpoint: Url,
    /// The `iss` of the exchanged token.
    pub expected_issuer: String,
    /// The remote's key set; `None`: from discovery.
    pub jwks_uri: Option<Url>,
    /// The remote's dialect.
    pub dialect: Dialect,
    /// The grant.
    pub grant: ExchangeGrant,
    /// Which token of the login is exchanged.
    pub subject: SubjectKind,
    /// `subject_token_type` (RFC 8693 §2.1): the kind's own type, or a URI of the remote's.
    pub subject_token_type: String,
    /// `requested_token_type`; `None`: the parameter is left out.
    pub requested_token_type: Option<String>,
    /// `audience` parameters (RFC 8693 §2.1).
    pub audience: Vec<String>,
    /// The remote's connector that verifies the subject ([`Dialect::connector_parameter`]).
    pub connector_id: Option<String>,
    /// Scopes, with those for the required audiences ([`Dialect::scopes_for`]); empty: the parameter is left out.
    pub scopes: String,
    /// Further form parameters, by name.
    pub parameters: Vec<(String, String)>,
    /// How the answer is made sure of.
    pub verification: Verification,
    /// The client that requests the exchange.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Its authentication method; `None`: from the remote issuer's discovery document, after the issuer has refused the
    /// client.
    pub client_auth: Option<ClientAuth>,
}

impl ExchangeConfig {
    /// Whether the answer must hold an ID token.
    #[must_use]
    pub fn requests_id_token(&self) -> bool {
        self.requested_token_type.as_deref() == Some(TOKEN_TYPE_ID_TOKEN)
    }

    /// What determines the token beside endpoint, issuer, connector, client, scopes and audiences, as texts; empty for an
    /// exchange of an ID token for an ID token, which nothing else determines.
    #[must_use]
    pub fn particulars(&self) -> Vec<&str> {
        let requested = self.requested_token_type.as_deref().unwrap_or_default();
        let kinds = [
            self.grant.name(),
            self.subject.name(),
            self.subject_token_type.as_str(),
            requested,
            self.verification.name(),
        ];
        const PLAIN: [&str; 5] = [
            ExchangeGrant::TokenExchange.name(),
            SubjectKind::IdToken.name(),
            TOKEN_TYPE_ID_TOKEN,
            TOKEN_TYPE_ID_TOKEN,
            Verification::Signature.name(),
        ];
        if kinds == PLAIN && self.audience.is_empty() && self.parameters.is_empty() {
            return Vec::new();
        }
        let audience = self
            .audience
            .iter()
            .flat_map(|audience| ["audience", audience.as_str()]);
        let parameters = self.parameters.iter();
        let parameters = parameters.flat_map(|(name, value)| ["parameter", name.as_str(), value.as_str()]);
        kinds.into_iter().chain(audience).chain(parameters).collect()
    }

    /// Whether both are the same exchange in every respect, the client's secret included.
    #[must_use]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let Self {
            token_endpoint,
            expected_issuer,
            jwks_uri,
            dialect,
            connector_id,
            scopes,
            client_id,
            client_secret,
            client_auth,
            // Among the particulars.
            grant: _,
            subject: _,
            subject_token_type: _,
            requested_token_type: _,
            audience: _,
            parameters: _,
            verification: _,
        } = self;
        (token_endpoint, expected_issuer, jwks_uri, dialect)
            == (
                &other.token_endpoint,
                &other.expected_issuer,
                &other.jwks_uri,
                &other.dialect,
            )
            && (connector_id, scopes, client_id) == (&other.connector_id, &other.scopes, &other.client_id)
            && client_secret.expose_secret() == other.client_secret.expose_secret()
            && *client_auth == other.client_auth
            && self.particulars() == other.particulars()
    }
}
