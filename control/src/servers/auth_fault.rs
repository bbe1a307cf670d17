//! A rule that an `auth` block breaks, with the field that it is about, and the secret part of its client.

use secrecy::SecretString;

use crate::config::issuer::ClientAuth;

/// How much of a value a fault repeats, in characters: a pasted secret must not fill a log.
const LONGEST_SHOWN: usize = 80;

/// The field that a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthField {
    /// `auth` as a whole.
    Auth,
    /// `auth.type`.
    Type,
    /// `auth.forward`.
    Forward,
    /// The entry of `auth.requiredAudiences` with this index.
    RequiredAudience(usize),
    /// `auth.tokenExchange` as a whole.
    TokenExchange,
    /// A field of `auth.tokenExchange`.
    Exchange(ExchangeField),
}

/// A field of `tokenExchange`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExchangeField {
    /// `dialect`.
    Dialect,
    /// `grant`.
    Grant,
    /// `tokenEndpoint`.
    TokenEndpoint,
    /// `dexTokenEndpoint`, its older name.
    DexTokenEndpoint,
    /// `expectedIssuer`.
    ExpectedIssuer,
    /// `jwksUri`.
    JwksUri,
    /// `subject`.
    Subject,
    /// `subjectTokenType`.
    SubjectTokenType,
    /// `requestedTokenType`.
    RequestedTokenType,
    /// The entry of `audience` with this index.
    Audience(usize),
    /// `connectorId`.
    ConnectorId,
    /// `scopes`.
    Scopes,
    /// The entry of `parameters` with this index.
    Parameter(usize),
    /// `verify`.
    Verify,
    /// `clientCredentials.clientId`.
    ClientId,
}

impl ExchangeField {
    /// The name in the configuration and in resources.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dialect => "dialect",
            Self::Grant => "grant",
            Self::TokenEndpoint => "tokenEndpoint",
            Self::DexTokenEndpoint => "dexTokenEndpoint",
            Self::ExpectedIssuer => "expectedIssuer",
            Self::JwksUri => "jwksUri",
            Self::Subject => "subject",
            Self::SubjectTokenType => "subjectTokenType",
            Self::RequestedTokenType => "requestedTokenType",
            Self::Audience(_) => "audience",
            Self::ConnectorId => "connectorId",
            Self::Scopes => "scopes",
            Self::Parameter(_) => "parameters",
            Self::Verify => "verify",
            Self::ClientId => "clientId",
        }
    }
}

/// A rule that a block breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AuthFault {
    /// Where.
    pub(crate) field: AuthField,
    /// What is wrong.
    pub(crate) what: String,
    /// How to fix it.
    pub(crate) hint: String,
}

/// The secret part of the client credentials.
pub(crate) struct ClientSecret {
    /// The secret.
    pub(crate) secret: SecretString,
    /// The authentication method; `None`: from discovery.
    pub(crate) auth: Option<ClientAuth>,
}

impl AuthFault {
    pub(super) fn new(field: AuthField, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            field,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

/// A value as a fault repeats it.
pub(super) fn shown(value: &str) -> String {
    value.chars().take(LONGEST_SHOWN).collect()
}
