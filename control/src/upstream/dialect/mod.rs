//! Where issuers differ from the specifications and from each other. Everything that only one product does is in a file
//! of its own, and the rest of the code reads an issuer through [`Dialect`].

mod dex;
pub mod error_meaning;
mod standard;

use url::Url;

use self::error_meaning::ErrorMeaning;

/// The dialect of an issuer: its error texts, and its extensions to token exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The specifications alone.
    Standard,
    /// Dex, in addition to the specifications. Every configured issuer is read so: the configuration has no field for the
    /// dialect yet, and Dex's texts mean nothing at other issuers.
    #[default]
    Dex,
}

/// The addresses of a remote issuer that follow from its token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAddresses {
    /// The issuer identifier, `iss` of its tokens.
    pub issuer: String,
    /// The key set.
    pub jwks_uri: Url,
}

impl Dialect {
    /// The meaning of an OAuth error response: its HTTP `status`, `error` code in lower case and `error_description`
    /// (empty if absent). `None` for a code that is not known.
    #[must_use]
    pub fn error_meaning(self, status: u16, code: &str, description: &str) -> Option<ErrorMeaning> {
        let own = match self {
            Self::Standard => None,
            Self::Dex => dex::error_meaning(status, code, description),
        };
        own.or_else(|| standard::error_meaning(code))
    }

    /// `error` and `error_description` for a refresh token that will not work again.
    #[must_use]
    pub fn dead_refresh_token(self) -> (&'static str, &'static str) {
        match self {
            Self::Standard => standard::DEAD_REFRESH_TOKEN,
            Self::Dex => dex::DEAD_REFRESH_TOKEN,
        }
    }

    /// The form parameter of an exchange (RFC 8693 §2.1) that selects the connector which verifies the subject.
    #[must_use]
    pub fn connector_parameter(self, connector_id: &str) -> Option<(&'static str, &str)> {
        match self {
            Self::Standard => None,
            Self::Dex => Some((dex::CONNECTOR_PARAMETER, connector_id)),
        }
    }

    /// The issuer and key set of the remote with this token endpoint; `None` if they do not follow from it.
    #[must_use]
    pub fn remote_addresses(self, token_endpoint: &Url) -> Option<RemoteAddresses> {
        match self {
            Self::Standard => None,
            Self::Dex => dex::remote_addresses(token_endpoint),
        }
    }

    /// Whether `id` can be the id of a connector.
    #[must_use]
    pub fn is_connector_id(self, id: &str) -> bool {
        match self {
            Self::Standard => !id.is_empty(),
            Self::Dex => dex::is_connector_id(id),
        }
    }

    /// Whether an exchange can request `audience`.
    #[must_use]
    pub fn is_audience(self, audience: &str) -> bool {
        match self {
            Self::Standard => !audience.is_empty(),
            Self::Dex => dex::is_audience(audience),
        }
    }

    /// The `scope` of an exchange by the client `client_id`, separated by single spaces: `scopes` and those that request
    /// `audiences`.
    #[must_use]
    pub fn scopes_for(self, scopes: &str, audiences: &[String], client_id: &str) -> String {
        match self {
            Self::Standard => scopes.to_owned(),
            Self::Dex => dex::scopes_for(scopes, audiences, client_id),
        }
    }
}
