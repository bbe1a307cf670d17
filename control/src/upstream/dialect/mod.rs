//! Where issuers differ from the specifications and from each other. What one product does is data in a file of its own
//! ([`rules`]), and the rest of the code reads an issuer through [`Dialect`].

mod auth0;
mod dex;
mod entra;
pub mod error_meaning;
mod google;
mod keycloak;
mod okta;
mod recognise;
pub mod rules;
mod standard;

use url::Url;

use self::error_meaning::ErrorMeaning;
use self::rules::{
    AccessTokenUser, AssertionAudience, AudienceBy, DialectRules, ExchangeDefaults, IssuerPolicy,
    OfflineAccess, RefreshTokens, SignOutAtIssuer,
};

/// The kind of an issuer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The specifications alone.
    Standard,
    /// Dex. Its error texts mean nothing at other issuers, so this is also what an issuer counts as that shows no kind.
    #[default]
    Dex,
    /// Keycloak.
    Keycloak,
    /// Microsoft Entra ID.
    Entra,
    /// Okta.
    Okta,
    /// Auth0.
    Auth0,
    /// Google.
    Google,
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
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Standard,
        Self::Dex,
        Self::Keycloak,
        Self::Entra,
        Self::Okta,
        Self::Auth0,
        Self::Google,
    ];

    const fn rules(self) -> &'static DialectRules {
        match self {
            Self::Standard => &standard::RULES,
            Self::Dex => &dex::RULES,
            Self::Keycloak => &keycloak::RULES,
            Self::Entra => &entra::RULES,
            Self::Okta => &okta::RULES,
            Self::Auth0 => &auth0::RULES,
            Self::Google => &google::RULES,
        }
    }

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.rules().name
    }

    /// The dialect with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// How the issuer treats a refresh token that is presented twice, where the configuration does not say.
    #[must_use]
    pub const fn policy(self) -> IssuerPolicy {
        self.rules().policy
    }

    /// Whether each login has a refresh token of its own, where the configuration does not say.
    #[must_use]
    pub const fn refresh_tokens(self) -> RefreshTokens {
        self.rules().refresh_tokens
    }

    /// What control does at the issuer when a login ends here, where the configuration does not say.
    #[must_use]
    pub const fn sign_out(self) -> SignOutAtIssuer {
        self.rules().sign_out
    }

    /// What an exchange at such an issuer looks like; `None`: it has none.
    #[must_use]
    pub const fn exchange(self) -> Option<&'static ExchangeDefaults> {
        self.rules().exchange.as_ref()
    }

    /// Whether the issuer finds a client's key by its certificate: a key alone is not enough there.
    #[must_use]
    pub const fn needs_client_certificate(self) -> bool {
        self.rules().client_certificates
    }

    /// Whether RSA keys of clients sign with PSS instead of PKCS #1.
    #[must_use]
    pub const fn signs_assertions_with_pss(self) -> bool {
        self.rules().client_certificates
    }

    /// The token endpoint of the issuer with this identifier, as such issuers have it; `None`: it does not follow.
    #[must_use]
    pub fn token_endpoint_of(self, issuer: &str) -> Option<String> {
        let path = self.rules().token_path?;
        Some(format!("{}{path}", issuer.trim_end_matches('/')))
    }

    /// What a login requests where the configuration does not say.
    #[must_use]
    pub const fn login_scopes(self) -> &'static [&'static str] {
        self.rules().login_scopes
    }

    /// `aud` of a client assertion.
    #[must_use]
    pub const fn assertion_audience(self) -> AssertionAudience {
        self.rules().assertion_audience
    }

    /// How a JWT access token names the user.
    #[must_use]
    pub const fn access_token_user(self) -> AccessTokenUser {
        match self {
            // `sub` is the user's login name, `uid` what an ID token has as `sub`.
            Self::Okta => AccessTokenUser::Member("uid"),
            // A token of version 1 has another `iss`, and `sub` is another one for each resource.
            Self::Entra => AccessTokenUser::Unstated,
            _ => AccessTokenUser::Subject,
        }
    }

    /// The meaning of an OAuth error response: its HTTP `status`, `error` code in lower case and `error_description`
    /// (empty if absent). `None` for a code that is not known.
    #[must_use]
    pub fn error_meaning(self, status: u16, code: &str, description: &str) -> Option<ErrorMeaning> {
        let own = self.rules().errors.iter();
        own.copied()
            .find(|rule| rule.applies(status, code, description))
            .map(|rule| rule.meaning)
            .or_else(|| standard::error_meaning(code))
    }

    /// `error` and `error_description` for a refresh token that will not work again.
    #[must_use]
    pub const fn dead_refresh_token(self) -> (&'static str, &'static str) {
        self.rules().dead_refresh_token
    }

    /// The form parameter of an exchange (RFC 8693 §2.1) that selects the connector which verifies the subject.
    #[must_use]
    pub fn connector_parameter(self, connector_id: &str) -> Option<(&'static str, &str)> {
        matches!(self, Self::Dex).then_some((dex::CONNECTOR_PARAMETER, connector_id))
    }

    /// The issuer and key set of the remote with this token endpoint; `None` if they do not follow from it.
    #[must_use]
    pub fn remote_addresses(self, token_endpoint: &Url) -> Option<RemoteAddresses> {
        match self {
            Self::Dex => dex::remote_addresses(token_endpoint),
            Self::Keycloak => keycloak::remote_addresses(token_endpoint),
            Self::Entra => entra::remote_addresses(token_endpoint),
            Self::Okta => okta::remote_addresses(token_endpoint),
            Self::Auth0 => auth0::remote_addresses(token_endpoint),
            Self::Standard | Self::Google => None,
        }
    }

    /// Whether `id` can be the id of a connector.
    #[must_use]
    pub fn is_connector_id(self, id: &str) -> bool {
        match self {
            Self::Dex => dex::is_connector_id(id),
            _ => !id.is_empty(),
        }
    }

    /// Whether a request to this issuer can name `audience`: a StringOrURI (RFC 7519 §2) without spaces, and at Dex one that
    /// does not end the scope that names it.
    #[must_use]
    pub fn is_audience(self, audience: &str) -> bool {
        match self {
            Self::Dex => dex::is_audience(audience),
            _ => is_string_or_uri(audience),
        }
    }

    /// What an audience must look like ([`Dialect::is_audience`]).
    #[must_use]
    pub const fn audience_hint(self) -> &'static str {
        match self {
            Self::Dex => "use letters, digits, '_', '.', ':' or '-' only: Dex has it in a scope",
            _ => AUDIENCE_HINT,
        }
    }

    /// The `scope` of a request by the client `client_id`, separated by single spaces: `scopes` and those that request
    /// `audiences`.
    #[must_use]
    pub fn scopes_for(self, scopes: &str, audiences: &[String], client_id: &str) -> String {
        let by = self.exchange().map(|exchange| exchange.audience_by);
        match by {
            Some(AudienceBy::CrossClientScopes) => dex::scopes_for(scopes, audiences, client_id),
            _ => scopes.to_owned(),
        }
    }

    /// The `scope` of a login with the configured `scopes`, and further parameters of the authorization request.
    #[must_use]
    pub fn login_request(self, scopes: &str) -> (String, &'static [(&'static str, &'static str)]) {
        const OFFLINE: &str = "offline_access";
        const CONSENT: &[(&str, &str)] = &[("prompt", "consent")];
        let is_offline = scopes.split(' ').any(|scope| scope == OFFLINE);
        match self.rules().offline_access {
            OfflineAccess::ScopeWithConsent if is_offline => (scopes.to_owned(), CONSENT),
            OfflineAccess::Parameters(parameters) if is_offline => {
                let others = scopes.split(' ').filter(|scope| *scope != OFFLINE);
                (others.collect::<Vec<_>>().join(" "), parameters)
            }
            _ => (scopes.to_owned(), &[]),
        }
    }
}

/// What an audience must look like ([`is_string_or_uri`]).
pub const AUDIENCE_HINT: &str = "write a text without spaces; with a ':' in it, it must be a URI";

/// Whether `text` can be an audience (RFC 7519 §2): visible characters, and a URI if it has a colon.
#[must_use]
pub fn is_string_or_uri(text: &str) -> bool {
    let is_visible = !text.is_empty() && text.chars().all(|letter| !letter.is_control() && letter != ' ');
    is_visible && (!text.contains(':') || Url::parse(text).is_ok())
}

/// The issuer whose token endpoint is `end` below it, and whose key set is `keys` below it.
fn beside(token_endpoint: &Url, end: &str, keys: &str) -> Option<RemoteAddresses> {
    if token_endpoint.query().is_some() {
        return None;
    }
    let issuer = token_endpoint.as_str().strip_suffix(end)?;
    Some(RemoteAddresses {
        jwks_uri: Url::parse(&format!("{issuer}{keys}")).ok()?,
        issuer: issuer.to_owned(),
    })
}
