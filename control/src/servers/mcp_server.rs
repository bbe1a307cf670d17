//! From the `auth` block of an MCPServer to the configuration of a server. The aggregator's resource, which `import` reads,
//! and the `servers` of control's configuration have the same block and the same rules.
//!
//! Each reader fills an [`AuthBlock`] with what is written. A rule that the block breaks is an [`AuthFault`] with the field
//! that it is about, so that each reader can report its own place for it.

use secrecy::SecretString;
use url::Url;

use crate::config::endpoint::{BadEndpoint, parse_endpoint, parse_issuer};
use crate::config::issuer::ClientAuth;
use crate::config::server::{ExchangeConfig, ServerConfig, ServerRoute, TokenSource};
use crate::servers::exchange_path::is_exchange_endpoint;
use crate::upstream::dialect::Dialect;

/// The CRD's default for `scopes`.
const DEFAULT_SCOPES: &str = "openid profile email groups";
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

/// `tokenExchange` as written, without the client's secret.
#[derive(Debug, Default)]
pub(crate) struct ExchangeBlock<'a> {
    /// `enabled`.
    pub(crate) enabled: bool,
    /// `dexTokenEndpoint`.
    pub(crate) token_endpoint: Option<&'a str>,
    /// `expectedIssuer`.
    pub(crate) expected_issuer: Option<&'a str>,
    /// `jwksUri`, which the CRD does not have.
    pub(crate) jwks_uri: Option<&'a str>,
    /// `connectorId`.
    pub(crate) connector_id: Option<&'a str>,
    /// `scopes`.
    pub(crate) scopes: Option<&'a str>,
    /// `clientId` of the client credentials.
    pub(crate) client_id: Option<&'a str>,
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
    /// `dexTokenEndpoint`.
    TokenEndpoint,
    /// `expectedIssuer`.
    ExpectedIssuer,
    /// `jwksUri`.
    JwksUri,
    /// `connectorId`.
    ConnectorId,
    /// `scopes`.
    Scopes,
    /// `clientCredentials.clientId`.
    ClientId,
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
        dialect: Dialect,
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
        for (index, audience) in self.required_audiences.iter().enumerate() {
            if !dialect.is_audience(audience) {
                faults.push(AuthFault::new(
                    AuthField::RequiredAudience(index),
                    format!("required audience {:?} is not usable", shown(audience)),
                    "use letters, digits, '_', '.', ':' or '-' only",
                ));
            }
        }
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
                dialect,
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
}

impl ExchangeBlock<'_> {
    fn config(
        &self,
        (server, required_audiences): (&str, &[String]),
        dialect: Dialect,
        client_secret: impl FnOnce() -> Option<ClientSecret>,
        faults: &mut Vec<AuthFault>,
    ) -> Option<ExchangeConfig> {
        let required = [
            ("dexTokenEndpoint", self.token_endpoint),
            ("connectorId", self.connector_id),
            ("clientCredentials", self.client_id),
        ];
        for (field, _) in required.iter().filter(|(_, value)| value.is_none()) {
            faults.push(AuthFault::new(
                AuthField::TokenExchange,
                format!("tokenExchange of server {server:?} has no {field}"),
                format!("add {field}"),
            ));
        }
        let (endpoint_text, connector_id, client_id) =
            (self.token_endpoint?, self.connector_id?, self.client_id?);
        let token_endpoint = endpoint(
            "dexTokenEndpoint",
            AuthField::TokenEndpoint,
            endpoint_text,
            faults,
        );
        if let Some(url) = token_endpoint
            .as_ref()
            .filter(|url| is_exchange_endpoint(url, server))
        {
            faults.push(AuthFault::new(
                AuthField::TokenEndpoint,
                format!(
                    "dexTokenEndpoint {:?} is control's own exchange endpoint for server {server:?}, which would call itself",
                    shown(url.as_str())
                ),
                "name the remote issuer's token endpoint here; control's belongs into the aggregator's resource only",
            ));
        }
        if !dialect.is_connector_id(connector_id) {
            faults.push(AuthFault::new(
                AuthField::ConnectorId,
                format!("connectorId {:?} is not usable", shown(connector_id)),
                "start with a letter, then letters, digits, '_' or '-'",
            ));
        }
        if client_id.is_empty() {
            faults.push(AuthFault::new(
                AuthField::ClientId,
                format!("clientId of server {server:?} is empty"),
                "name the client that exchanges at the remote issuer",
            ));
        }
        let scopes = scopes(self.scopes, faults);
        let client = client_secret();
        let (expected_issuer, jwks_uri) = self.remote(token_endpoint.as_ref(), dialect, faults);
        let client = client?;
        Some(ExchangeConfig {
            token_endpoint: token_endpoint?,
            expected_issuer: expected_issuer?,
            jwks_uri: jwks_uri?,
            dialect,
            connector_id: connector_id.to_owned(),
            scopes: dialect.scopes_for(&scopes, required_audiences, client_id),
            client_id: client_id.to_owned(),
            client_secret: client.secret,
            client_auth: client.auth,
        })
    }

    /// The remote's issuer identifier and key set: as written, or as they follow from the token endpoint.
    fn remote(
        &self,
        token_endpoint: Option<&Url>,
        dialect: Dialect,
        faults: &mut Vec<AuthFault>,
    ) -> (Option<String>, Option<Url>) {
        let expected_issuer = self.expected_issuer.map(|text| {
            parse_issuer(text)
                .map_err(|bad| {
                    faults.push(bad_address(
                        "expectedIssuer",
                        AuthField::ExpectedIssuer,
                        text,
                        bad,
                    ));
                })
                .ok()
                .map(|_| text.to_owned())
        });
        let jwks_uri = self
            .jwks_uri
            .map(|text| endpoint("jwksUri", AuthField::JwksUri, text, faults));
        let derived = token_endpoint.and_then(|url| dialect.remote_addresses(url));
        if token_endpoint.is_some() && derived.is_none() && (expected_issuer.is_none() || jwks_uri.is_none())
        {
            faults.push(AuthFault::new(
                AuthField::TokenEndpoint,
                "the issuer and its keys do not follow from a dexTokenEndpoint that does not end in /token",
                "add expectedIssuer and jwksUri",
            ));
        }
        let (issuer, keys) = derived.map(|derived| (derived.issuer, derived.jwks_uri)).unzip();
        (expected_issuer.unwrap_or(issuer), jwks_uri.unwrap_or(keys))
    }
}

impl AuthFault {
    fn new(field: AuthField, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            field,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

fn endpoint(name: &str, field: AuthField, text: &str, faults: &mut Vec<AuthFault>) -> Option<Url> {
    parse_endpoint(text)
        .map_err(|bad| faults.push(bad_address(name, field, text, bad)))
        .ok()
}

fn bad_address(name: &str, field: AuthField, text: &str, bad: BadEndpoint) -> AuthFault {
    let example = match field {
        AuthField::ExpectedIssuer => "https://dex.example.com",
        _ => "https://dex.example.com/token",
    };
    AuthFault::new(
        field,
        format!("{name} {:?} {bad}", shown(text)),
        format!("write it as in {example}"),
    )
}

fn scopes(text: Option<&str>, faults: &mut Vec<AuthFault>) -> String {
    let Some(text) = text else {
        return DEFAULT_SCOPES.to_owned();
    };
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let usable = text
        .split_ascii_whitespace()
        .all(|scope| scope.bytes().all(printable));
    if !usable || !text.split_ascii_whitespace().any(|scope| scope == "openid") {
        faults.push(AuthFault::new(
            AuthField::Scopes,
            format!("scopes {:?} must be a list with openid in it", shown(text)),
            format!("write it as in {DEFAULT_SCOPES:?}"),
        ));
    }
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// A value as a fault repeats it.
fn shown(value: &str) -> String {
    value.chars().take(LONGEST_SHOWN).collect()
}
