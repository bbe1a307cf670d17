//! What one kind of issuer does differently, as data: each dialect is one constant of this shape.

use tokenward_protocol::token_endpoint::{
    GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN,
};

use super::error_meaning::ErrorMeaning;

/// The token type of a JWT of any kind (RFC 8693 §3).
pub const TOKEN_TYPE_JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// How an issuer treats a refresh token that is presented twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuerPolicy {
    /// It accepts reuse within an interval, or does not rotate: presenting a token again is safe.
    Tolerant,
    /// It may revoke the login (RFC 9700 §4.14.2): a token must never be presented twice.
    Strict,
}

/// How many refresh tokens of one user and client are valid at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefreshTokens {
    /// One: a new login of the user ends the refresh token of the login before (Dex).
    PerUser,
    /// One for each login: each keeps its own until it ends.
    PerLogin,
}

impl RefreshTokens {
    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerUser => "per_user",
            Self::PerLogin => "per_login",
        }
    }
}

/// What control does at the issuer when a login ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignOutAtIssuer {
    /// It revokes the refresh token (RFC 7009), if the issuer has an endpoint for that.
    Revoke,
    /// It ends the issuer's session of the login with the refresh token, at `end_session_endpoint` (Keycloak). The user is
    /// logged out of the issuer in that browser, too.
    EndSession,
    /// Nothing: a revocation would end other logins of the user as well (Google).
    Nothing,
}

impl SignOutAtIssuer {
    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::EndSession => "end_session",
            Self::Nothing => "none",
        }
    }
}

/// One error response that an issuer writes other than RFC 6749 §5.2 has it. All conditions must hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorRule {
    pub(super) status: Status,
    /// `error`, in lower case.
    pub(super) code: &'static str,
    pub(super) description: Description,
    pub(super) meaning: ErrorMeaning,
}

/// Which HTTP statuses an [`ErrorRule`] is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Status {
    Any,
    /// 429 and 5xx.
    Failing,
}

/// Which texts in `error_description` an [`ErrorRule`] is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Description {
    Any,
    Is(&'static str),
    Contains(&'static str),
}

impl ErrorRule {
    pub(super) const fn text(code: &'static str, text: &'static str, meaning: ErrorMeaning) -> Self {
        Self {
            status: Status::Any,
            code,
            description: Description::Is(text),
            meaning,
        }
    }

    pub(super) const fn containing(code: &'static str, text: &'static str, meaning: ErrorMeaning) -> Self {
        Self {
            status: Status::Any,
            code,
            description: Description::Contains(text),
            meaning,
        }
    }

    pub(super) const fn code(code: &'static str, meaning: ErrorMeaning) -> Self {
        Self {
            status: Status::Any,
            code,
            description: Description::Any,
            meaning,
        }
    }

    /// The same for 429 and 5xx only.
    pub(super) const fn when_failing(self) -> Self {
        Self {
            status: Status::Failing,
            ..self
        }
    }

    pub(super) fn applies(&self, status: u16, code: &str, description: &str) -> bool {
        let is_status = match self.status {
            Status::Any => true,
            Status::Failing => status == 429 || status >= 500,
        };
        is_status
            && self.code == code
            && match self.description {
                Description::Any => true,
                Description::Is(text) => description == text,
                Description::Contains(text) => description.contains(text),
            }
    }
}

/// How a login asks for a refresh token that outlives the user's session at the issuer.
#[derive(Debug, Clone, Copy)]
pub(super) enum OfflineAccess {
    /// The scope `offline_access`, with `prompt=consent` (OpenID Connect Core §11).
    ScopeWithConsent,
    /// The scope alone: the issuer needs no consent for it, and would ask at each login.
    Scope,
    /// Parameters of the authorization request; the issuer refuses the scope.
    Parameters(&'static [(&'static str, &'static str)]),
}

/// How a request names the audiences that it wants in `aud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudienceBy {
    /// By one scope for each (Dex: `audience:server:client_id:X`).
    CrossClientScopes,
    /// By `audience` parameters (RFC 8693 §2.1).
    Parameter,
    /// Not at all: scopes, or the issuer's own configuration, decide.
    Nothing,
}

/// The value of `aud` in a client assertion (RFC 7523 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer identifier.
    Issuer,
    /// The URL of the token endpoint.
    TokenEndpoint,
}

/// How a JWT access token of an issuer names the user of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokenUser {
    /// `sub` is that of the ID token, where it is there (RFC 9068 §2.2).
    Subject,
    /// This claim has the `sub` of the ID token; `sub` is something else.
    Member(&'static str),
    /// Not in a way that a client could read: `iss` and `sub` depend on the resource that the token is for.
    Unstated,
}

/// The grant by which a remote issuer gives a token for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeGrant {
    /// Token exchange (RFC 8693).
    TokenExchange,
    /// A JWT as authorization grant (RFC 7523 §2.1), as Entra's on-behalf-of flow has it.
    JwtBearer,
}

impl ExchangeGrant {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::TokenExchange, Self::JwtBearer];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenExchange => "token-exchange",
            Self::JwtBearer => "jwt-bearer",
        }
    }

    /// The value of `grant_type`.
    #[must_use]
    pub const fn grant_type(self) -> &'static str {
        match self {
            Self::TokenExchange => GRANT_TYPE_TOKEN_EXCHANGE,
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// Which token of the login a remote issuer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// The ID token.
    IdToken,
    /// The access token.
    AccessToken,
}

impl SubjectKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::IdToken, Self::AccessToken];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdToken => "id_token",
            Self::AccessToken => "access_token",
        }
    }

    /// The token type (RFC 8693 §3).
    #[must_use]
    pub const fn token_type(self) -> &'static str {
        match self {
            Self::IdToken => TOKEN_TYPE_ID_TOKEN,
            Self::AccessToken => TOKEN_TYPE_ACCESS_TOKEN,
        }
    }
}

/// What an exchange at this kind of issuer looks like where the configuration does not say otherwise.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeDefaults {
    /// The grant.
    pub grant: ExchangeGrant,
    /// Grants that the issuer has; another one cannot work.
    pub accepted_grants: &'static [ExchangeGrant],
    /// The token that is exchanged.
    pub subject: SubjectKind,
    /// Subjects that the issuer takes; another one cannot work.
    pub accepted_subjects: &'static [SubjectKind],
    /// `requested_token_type`; `None`: the parameter is left out.
    pub requested_token_type: Option<&'static str>,
    /// How audiences are named.
    pub audience_by: AudienceBy,
    /// Whether an audience must be named: the issuer has no token that is for nothing in particular.
    pub needs_audience: bool,
    /// Whether a connector must be named, which verifies the subject.
    pub needs_connector: bool,
    /// Whether `subject_token_type` must be configured: the issuer has no type of its own.
    pub needs_subject_token_type: bool,
    /// `scope` where none is configured; empty: the parameter is left out.
    pub scopes: &'static str,
    /// Further form parameters.
    pub parameters: &'static [(&'static str, &'static str)],
}

/// A sign by which a discovery document shows the kind of its issuer.
#[derive(Debug, Clone, Copy)]
pub(super) enum DocumentSign {
    /// The member exists.
    Has(&'static str),
    /// The member is a text with this end.
    EndsWith(&'static str, &'static str),
}

/// Everything that one kind of issuer does differently.
#[derive(Debug)]
pub(super) struct DialectRules {
    /// The name in the configuration.
    pub(super) name: &'static str,
    /// Where the configuration sets no `policy`.
    pub(super) policy: IssuerPolicy,
    /// Where the configuration sets no `refresh_tokens`.
    pub(super) refresh_tokens: RefreshTokens,
    /// Where the configuration sets no `sign_out`.
    pub(super) sign_out: SignOutAtIssuer,
    /// Errors that mean something else than their code; the first that applies counts.
    pub(super) errors: &'static [ErrorRule],
    /// `error` and `error_description` for a refresh token that will not work again; the status is 400.
    pub(super) dead_refresh_token: (&'static str, &'static str),
    pub(super) offline_access: OfflineAccess,
    pub(super) assertion_audience: AssertionAudience,
    /// Whether RSA keys of clients sign with PSS, and the issuer finds them by their certificate.
    pub(super) client_certificates: bool,
    /// `None`: it has no grant that gives a token for a user's token.
    pub(super) exchange: Option<ExchangeDefaults>,
    /// Hosts of such issuers, and with a leading dot the domains above them.
    pub(super) hosts: &'static [&'static str],
    /// A part of the path that only such issuers have.
    pub(super) path: Option<&'static str>,
    /// The token endpoint below the issuer; `None`: it is elsewhere.
    pub(super) token_path: Option<&'static str>,
    /// What a login requests where the configuration does not say.
    pub(super) login_scopes: &'static [&'static str],
    /// All of them must hold for a document of such an issuer; none: a document does not show it.
    pub(super) document: &'static [DocumentSign],
}
