//! The form of the request, as Dex reads it: RFC 8693 §2.1 with `connector_id`. Parameters that Dex ignores are ignored.

use secrecy::SecretString;
use tokenward_protocol::form::Form;
use tokenward_protocol::token_endpoint::{
    GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN,
};

use crate::config::ExchangeConfig;

/// The parameters that are read, each of them at most once (RFC 6749 §3.2).
const PARAMETERS: [&str; 6] = [
    "grant_type",
    "subject_token",
    "subject_token_type",
    "requested_token_type",
    "connector_id",
    "scope",
];

/// A request for an exchange.
#[derive(Debug)]
pub(super) struct ExchangeForm {
    /// The home ID token.
    pub(super) subject_token: SecretString,
}

/// Why a form is not answered with an exchange: status 400, with Dex's code and text where Dex has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadExchange {
    #[error("parameter {0} was sent more than once")]
    Duplicate(&'static str),
    #[error("grant_type must be {GRANT_TYPE_TOKEN_EXCHANGE}")]
    GrantType,
    #[error("Invalid subject_token_type.")]
    SubjectTokenType,
    #[error("Invalid requested_token_type.")]
    RequestedTokenType,
    #[error("Missing subject_token")]
    SubjectToken,
    #[error("Requested connector does not exist.")]
    Connector,
    #[error("scope may hold only the scopes of this server's exchange: {0}")]
    Scope(String),
}

impl BadExchange {
    /// The OAuth error code.
    pub(super) const fn error(&self) -> &'static str {
        match self {
            Self::Duplicate(_) | Self::SubjectToken | Self::Connector => "invalid_request",
            Self::GrantType => "unsupported_grant_type",
            Self::SubjectTokenType | Self::RequestedTokenType => "request_not_supported",
            Self::Scope(_) => "invalid_scope",
        }
    }
}

impl ExchangeForm {
    /// Reads `form` as a request for the exchange that `config` states. The answer has all of its scopes, so a request for
    /// fewer is accepted.
    ///
    /// # Errors
    /// [`BadExchange`], in the order in which Dex looks.
    pub(super) fn read(form: &Form, config: &ExchangeConfig) -> Result<Self, BadExchange> {
        if let Some(twice) = PARAMETERS.into_iter().find(|name| form.once(name).is_err()) {
            return Err(BadExchange::Duplicate(twice));
        }
        let value = |name| form.once(name).ok().flatten();
        if value("grant_type") != Some(GRANT_TYPE_TOKEN_EXCHANGE) {
            return Err(BadExchange::GrantType);
        }
        if value("subject_token_type") != Some(TOKEN_TYPE_ID_TOKEN) {
            return Err(BadExchange::SubjectTokenType);
        }
        let subject_token = value("subject_token").ok_or(BadExchange::SubjectToken)?;
        let connector = config.connector_id.as_deref();
        if let Some((name, connector_id)) = connector.and_then(|id| config.dialect.connector_parameter(id))
            && value(name) != Some(connector_id)
        {
            return Err(BadExchange::Connector);
        }
        // Without the parameter an access token is requested, as Dex has it: where the exchange brings an ID token, its server
        // accepts nothing else as an identity.
        let configured = config.requested_token_type.as_deref();
        let configured = configured.unwrap_or(TOKEN_TYPE_ACCESS_TOKEN);
        if value("requested_token_type").unwrap_or(TOKEN_TYPE_ACCESS_TOKEN) != configured {
            return Err(BadExchange::RequestedTokenType);
        }
        let is_configured = |scope: &str| config.scopes.split(' ').any(|configured| configured == scope);
        let mut requested = value("scope").unwrap_or_default().split_ascii_whitespace();
        if !requested.all(is_configured) {
            return Err(BadExchange::Scope(config.scopes.clone()));
        }
        Ok(Self {
            subject_token: subject_token.into(),
        })
    }
}
