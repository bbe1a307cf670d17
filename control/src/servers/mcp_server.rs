//! From the `auth` block of an MCPServer to the configuration of a server. The aggregator's resource, which `import` reads,
//! and the `servers` of control's configuration have the same block and the same rules.
//!
//! Each reader fills an [`AuthBlock`] with what is written. A rule that the block breaks is an [`AuthFault`] with the field
//! that it is about, so that each reader can report its own place for it.

use super::auth_fault::{AuthFault, AuthField, ClientSecret, shown};
use super::exchange_block::ExchangeBlock;
use crate::config::server::{ServerConfig, ServerRoute, TokenSource};
use crate::upstream::dialect::{AUDIENCE_HINT, is_string_or_uri};

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
