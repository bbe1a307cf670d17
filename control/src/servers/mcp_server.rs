//! From the `auth` block of an MCPServer to the configuration of a server. The aggregator's resource, which `import` reads,
//! and the `servers` of control's configuration have the same block and the same rules.
//!
//! Each reader fills an [`AuthBlock`] with what is written. A rule that the block breaks is an [`AuthFault`] with the field
//! that it is about, so that each reader can report its own place for it.

use secrecy::SecretString;

use super::exchange_block::ExchangeBlock;
use crate::config::issuer::ClientAuth;
use crate::config::server::{ServerConfig, ServerRoute, TokenSource};
use crate::upstream::dialect::{AUDIENCE_HINT, is_string_or_uri};

/// How much of a value a fault repeats, in characters: a pasted secret must not fill a log.
const LONGEST_SHOWN: usize = 80;

/// The `auth` block as written; an absent field is `None`.
#[derive(Debug, Default)]
pub(crate) struct AuthBlock<'a> {
    /// `type`.
    pub(crate) kind: Option<&'a str>,
    /// `forwardToken`.
    pub(crate) forward_token: bool,
    /// `forward`, which the CRD does not have.
    pub(crate) forward: Option<&'a str>,
    /// `requiredAudiences`.
    pub(crate) required_audiences: Vec<&'a str>,
    /// `tokenExchange`.
    pub(crate) token_exchange: Option<ExchangeBlock<'a>>,
}

/// `auth.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthType<'a> {
    /// `oauth`, also the default.
    Oauth,
    /// `none`: the server needs no token.
    None,
    /// A type that the CRD does not have.
    Unknown(&'a str),
}

/// How the block has the server's token made.
#[derive(Debug)]
pub(crate) enum BlockToken<'a> {
    /// By an exchange.
    Exchange(&'a ExchangeBlock<'a>),
    /// The login's own ID token is forwarded.
    Forward,
    /// The block has neither.
    Neither,
}

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

impl<'a> AuthBlock<'a> {
    /// Whether the server needs a token at all.
    pub(crate) fn auth_type(&self) -> AuthType<'a> {
        match self.kind {
            None | Some("oauth") => AuthType::Oauth,
            Some("none") => AuthType::None,
            Some(other) => AuthType::Unknown(other),
        }
    }

    /// How the token is made. As in the CRD, an enabled exchange wins over `forwardToken`.
    pub(crate) fn token(&self) -> BlockToken<'_> {
        match self.token_exchange.as_ref().filter(|exchange| exchange.enabled) {
            Some(exchange) => BlockToken::Exchange(exchange),
            None if self.forward_token => BlockToken::Forward,
            None => BlockToken::Neither,
        }
    }

    /// Which token of the login is forwarded.
    fn forwarded(&self, faults: &mut Vec<AuthFault>) -> TokenSource {
        match self.forward {
            None | Some("id_token") => TokenSource::Forward,
            Some("access_token") => TokenSource::ForwardAccessToken,
            Some(other) => {
                faults.push(AuthFault::new(
                    AuthField::Forward,
                    format!("forward {:?} is unknown", shown(other)),
                    "write id_token or access_token",
                ));
                TokenSource::Forward
            }
        }
    }

    /// The configuration of the server `name` with this block, without its resource. `client_secret` is called at most
    /// once, for an exchange that lacks no field; `None` from it: it has reported the fault itself. The result counts only
    /// where `faults` stays empty.
    pub(crate) fn server_config(
        &self,
        name: &str,
        client_secret: impl FnOnce() -> Option<ClientSecret>,
        faults: &mut Vec<AuthFault>,
    ) -> Option<ServerConfig> {
        if let AuthType::None | AuthType::Unknown(_) = self.auth_type() {
            let kind = shown(self.kind.unwrap_or_default());
            faults.push(AuthFault::new(
                AuthField::Type,
                format!("auth.type {kind:?} of server {:?} needs no tokens", shown(name)),
                "write type: oauth, or leave the server out",
            ));
        }
        self.check_required_audiences(faults);
        let required_audiences: Vec<String> = self
            .required_audiences
            .iter()
            .map(|text| (*text).to_owned())
            .collect();
        if let (Some(_), BlockToken::Exchange(_)) = (self.forward, self.token()) {
            faults.push(AuthFault::new(
                AuthField::Forward,
                format!(
                    "server {:?} has forward beside an enabled tokenExchange, which wins",
                    shown(name)
                ),
                "remove forward, or set tokenExchange.enabled: false and forwardToken: true",
            ));
        }
        let token = match self.token() {
            BlockToken::Exchange(exchange) => TokenSource::Exchange(Box::new(exchange.config(
                (&shown(name), &required_audiences),
                client_secret,
                faults,
            )?)),
            BlockToken::Forward => self.forwarded(faults),
            BlockToken::Neither => {
                faults.push(AuthFault::new(
                    AuthField::Auth,
                    format!(
                        "server {:?} has neither forwardToken nor an enabled tokenExchange",
                        shown(name)
                    ),
                    "set forwardToken: true, or tokenExchange with enabled: true",
                ));
                return None;
            }
        };
        Some(ServerConfig {
            name: name.to_owned(),
            resource: None,
            route: ServerRoute::default(),
            home_issuer: None,
            listener_405_after: None,
            required_audiences,
            token,
        })
    }

    /// Audiences that an exchange requests must fit into its request; all others are compared only.
    fn check_required_audiences(&self, faults: &mut Vec<AuthFault>) {
        let remote = match self.token() {
            BlockToken::Exchange(exchange) => Some(exchange.dialect()),
            BlockToken::Forward | BlockToken::Neither => None,
        };
        for (index, audience) in self.required_audiences.iter().enumerate() {
            let (is_usable, hint) = match remote {
                Some(dialect) => (dialect.is_audience(audience), dialect.audience_hint()),
                None => (is_string_or_uri(audience), AUDIENCE_HINT),
            };
            if !is_usable {
                faults.push(AuthFault::new(
                    AuthField::RequiredAudience(index),
                    format!("required audience {:?} is not usable", shown(audience)),
                    hint,
                ));
            }
        }
    }
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
