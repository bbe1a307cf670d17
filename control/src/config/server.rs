//! The configuration of one protected server.

use tokenward_protocol::route::{BadRoute, Route};

use super::exchange::ExchangeConfig;
use super::resources::Resource;
use crate::upstream::dialect::rules::SubjectKind;

/// One protected server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Its name, the `audience` of a token request.
    pub name: String,
    /// Its resource identifier: the URL that its clients use.
    pub resource: Option<Resource>,
    /// By which requests the gateway finds it, without an annotation.
    pub route: ServerRoute,
    /// The issuer that logs its users in; `None`: the first of the configuration.
    pub home_issuer: Option<String>,
    /// After this many refusals in a row the gateway answers a listener (`GET`) with 405, if at all.
    pub listener_405_after: Option<u32>,
    /// Audiences that the `aud` of its tokens must contain.
    pub required_audiences: Vec<String>,
    /// How its tokens are obtained.
    pub token: TokenSource,
}

impl ServerConfig {
    /// Whether the server's tokens are opaque: a filter reads no claims of them.
    #[must_use]
    pub fn delivers_opaque(&self) -> bool {
        match &self.token {
            TokenSource::Forward => false,
            // Its issuer may give another kind at any time.
            TokenSource::ForwardAccessToken => true,
            TokenSource::Exchange(exchange) => exchange.verification.is_opaque(),
        }
    }

    /// Whether both are the same server in every respect, its client's secret included.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let Self {
            name,
            resource,
            route,
            home_issuer,
            listener_405_after,
            required_audiences,
            token,
        } = self;
        (name, resource, route, home_issuer)
            == (&other.name, &other.resource, &other.route, &other.home_issuer)
            && (listener_405_after, required_audiences)
                == (&other.listener_405_after, &other.required_audiences)
            && match (token, &other.token) {
                (TokenSource::Forward, TokenSource::Forward)
                | (TokenSource::ForwardAccessToken, TokenSource::ForwardAccessToken) => true,
                (TokenSource::Exchange(one), TokenSource::Exchange(other)) => one.is_same(other),
                _ => false,
            }
    }
}

/// Host and path of the requests for a server, as the configuration states them; both absent: only an annotation leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerRoute {
    /// A host, or `*.example.com`; `None`: any.
    pub host: Option<String>,
    /// The beginning of the path; `None`: any.
    pub path_prefix: Option<String>,
}

impl ServerRoute {
    /// As the gateway reads it; `None` without host and path.
    ///
    /// # Errors
    /// [`BadRoute`]: no request can match it.
    pub fn read(&self) -> Result<Option<Route>, BadRoute> {
        Route::read(self.host.as_deref(), self.path_prefix.as_deref())
    }
}

/// How a server's tokens are obtained.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The login's own ID token.
    Forward,
    /// The login's own access token.
    ForwardAccessToken,
    /// A token exchange (RFC 8693, RFC 7523) at a remote issuer.
    Exchange(Box<ExchangeConfig>),
}

impl TokenSource {
    /// Whether a remote issuer issues the tokens.
    #[must_use]
    pub const fn is_exchange(&self) -> bool {
        matches!(self, Self::Exchange(_))
    }

    /// Whether a token of the login itself is what the server gets.
    #[must_use]
    pub const fn is_forward(&self) -> bool {
        matches!(self, Self::Forward | Self::ForwardAccessToken)
    }

    /// Whether logins' access tokens are needed to obtain them.
    #[must_use]
    pub fn needs_access_tokens(&self) -> bool {
        match self {
            Self::Forward => false,
            Self::ForwardAccessToken => true,
            Self::Exchange(exchange) => exchange.subject == SubjectKind::AccessToken,
        }
    }
}
