//! The RFC 8693 token request and response between a caller (usually the filter) and control.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::form::{Form, NotAForm, append_pair};
use crate::json::{self, Json};
use crate::refusal::Refusal;

/// `grant_type` of a token exchange (RFC 8693 §2.1).
pub const GRANT_TYPE_TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The token type that is requested, and issued to most servers (RFC 8693 §3).
pub const TOKEN_TYPE_ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// The type of an access token (RFC 8693 §3): as a subject one of control's own authorization server, issued one of an upstream
/// issuer.
pub const TOKEN_TYPE_ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Header on every response of control, with its version as value. A 503 without it was made by Envoy itself
/// (connection refused, no healthy host); the status alone does not distinguish it from control's own 503.
pub const MARKER_HEADER: &str = "x-tokenward-control";
/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth2/token";
/// Longest form that control reads at the token endpoint, in bytes: the largest token that a gateway lets through (60
/// KiB), partly percent-encoded, and the other parameters.
pub const MAX_FORM_BYTES: usize = 96 * 1024;
/// Longest session handle that is accepted, in bytes.
pub const MAX_SESSION_BYTES: usize = 512;

/// Why the caller requests a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The presented token is stale, or the server needs an exchanged one.
    #[default]
    Stale,
    /// The token in use still works, but not for long.
    NearExpiry,
    /// The server answered 401 to a token that seemed fresh.
    Rejected,
}

impl Reason {
    /// The value of the `reason` parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::NearExpiry => "near_expiry",
            Self::Rejected => "rejected",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Stale, Self::NearExpiry, Self::Rejected]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

/// The kind of a presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SubjectTokenType {
    /// An ID token of a configured issuer, or a token that control gave in an exchange.
    #[default]
    IdToken,
    /// An access token of control's own authorization server.
    AccessToken,
}

impl SubjectTokenType {
    /// The value of the `subject_token_type` parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdToken => TOKEN_TYPE_ID_TOKEN,
            Self::AccessToken => TOKEN_TYPE_ACCESS_TOKEN,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::IdToken, Self::AccessToken]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A request for a token.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The presented token, which proves the session: an ID token may be stale, an access token may not.
    pub subject_token: SecretString,
    /// What it is.
    pub subject_token_type: SubjectTokenType,
    /// The server's name (RFC 8693 `audience`).
    pub server: String,
    /// The aggregator's session handle, if it sends one; otherwise the subject token identifies the grant.
    pub session: Option<SecretString>,
    /// Why the caller requests a token.
    pub reason: Reason,
}

/// Why a form is not a token request. The message names the parameter, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTokenRequest {
    /// A parameter was sent twice (RFC 6749 §3.2 forbids it).
    #[error("parameter {0} was sent more than once")]
    Duplicate(&'static str),
    /// A parameter is missing or empty.
    #[error("parameter {0} is missing or empty")]
    Missing(&'static str),
    /// A parameter has a value that is not supported.
    #[error("parameter {name} must be {expected}")]
    Unsupported {
        /// The parameter.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// `grant_type` is not supported (RFC 6749 §5.2).
    #[error("parameter grant_type must be {GRANT_TYPE_TOKEN_EXCHANGE}")]
    GrantType,
    /// A parameter requests an unsupported feature.
    #[error("parameter {0} is not supported: tokens are exchanged without an actor")]
    Actor(&'static str),
    /// `scope` requests what an ID token does not have.
    #[error("parameter scope must be openid or left out: an ID token has the scopes of its login")]
    Scope,
    /// More than one server is named (RFC 8693 §2.2.2: no token for all of them can be issued).
    #[error("one token is for one server: name one with audience, or with its resource")]
    SeveralTargets,
    /// `resource` is not configured, or belongs to another server than `audience` (RFC 8707 §2).
    #[error(
        "parameter resource is not the resource of a configured server, or of another one than audience names"
    )]
    Resource,
    /// The bytes are not a form.
    #[error(transparent)]
    NotAForm(#[from] NotAForm),
}

impl BadTokenRequest {
    /// The OAuth error code (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 8707 §2).
    #[must_use]
    pub const fn error(&self) -> &'static str {
        match self {
            Self::GrantType => "unsupported_grant_type",
            Self::Scope => "invalid_scope",
            Self::SeveralTargets | Self::Resource => "invalid_target",
            Self::Duplicate(_)
            | Self::Missing(_)
            | Self::Unsupported { .. }
            | Self::Actor(_)
            | Self::NotAForm(_) => "invalid_request",
        }
    }
}

impl TokenRequest {
    /// The request as `application/x-www-form-urlencoded`.
    #[must_use]
    pub fn to_form(&self) -> String {
        let token = self.subject_token.expose_secret();
        let mut form = String::with_capacity(token.len().saturating_add(512));
        let session = self
            .session
            .as_ref()
            .map(|session| ("session", session.expose_secret()));
        let pairs = [
            ("grant_type", GRANT_TYPE_TOKEN_EXCHANGE),
            ("subject_token_type", self.subject_token_type.name()),
            ("requested_token_type", TOKEN_TYPE_ID_TOKEN),
            ("audience", self.server.as_str()),
            ("reason", self.reason.name()),
            ("subject_token", token),
        ];
        for (name, value) in pairs.into_iter().chain(session) {
            append_pair(&mut form, name, value);
        }
        form
    }

    /// Parses a form where no server has a resource: see [`TokenRequest::read`].
    ///
    /// # Errors
    /// [`BadTokenRequest`], naming the parameter at fault.
    pub fn from_form(form: &[u8]) -> Result<Self, BadTokenRequest> {
        Self::read(&Form::read(form)?, |_| None)
    }

    /// Parses the request in `form`; `server_of` returns the server that has a resource (RFC 8707). Unknown parameters
    /// are ignored (RFC 6749 §3.2). Known ones may occur once; `audience` and `resource` may be repeated (RFC 8693
    /// §2.1), but all of them must name the same server.
    ///
    /// # Errors
    /// [`BadTokenRequest`], naming the parameter at fault.
    pub fn read(form: &Form, server_of: impl Fn(&str) -> Option<String>) -> Result<Self, BadTokenRequest> {
        let once = |name| form.once(name).map_err(|_| BadTokenRequest::Duplicate(name));
        match once("grant_type")? {
            None => return Err(BadTokenRequest::Missing("grant_type")),
            Some(GRANT_TYPE_TOKEN_EXCHANGE) => {}
            Some(_) => return Err(BadTokenRequest::GrantType),
        }
        let subject_token = once("subject_token")?.ok_or(BadTokenRequest::Missing("subject_token"))?;
        let subject_token_type =
            once("subject_token_type")?.ok_or(BadTokenRequest::Missing("subject_token_type"))?;
        let subject_token_type =
            SubjectTokenType::from_name(subject_token_type).ok_or(BadTokenRequest::Unsupported {
                name: "subject_token_type",
                expected: "urn:ietf:params:oauth:token-type:id_token, or access_token for one of this service's own",
            })?;
        if once("requested_token_type")?.is_some_and(|requested| requested != TOKEN_TYPE_ID_TOKEN) {
            return Err(BadTokenRequest::Unsupported {
                name: "requested_token_type",
                expected: TOKEN_TYPE_ID_TOKEN,
            });
        }
        for name in ["actor_token", "actor_token_type"] {
            if once(name)?.is_some() {
                return Err(BadTokenRequest::Actor(name));
            }
        }
        if once("scope")?.is_some_and(|scope| scope.split(' ').any(|scope| scope != "openid")) {
            return Err(BadTokenRequest::Scope);
        }
        Ok(Self {
            subject_token: subject_token.into(),
            subject_token_type,
            server: server(form, server_of)?,
            session: session(form)?.map(Into::into),
            reason: match once("reason")? {
                None => Reason::default(),
                Some(name) => Reason::from_name(name).ok_or(BadTokenRequest::Unsupported {
                    name: "reason",
                    expected: "stale, near_expiry or rejected",
                })?,
            },
        })
    }
}

/// The one server that all of `audience` and `resource` name.
fn server(form: &Form, server_of: impl Fn(&str) -> Option<String>) -> Result<String, BadTokenRequest> {
    let mut audiences = form.all("audience");
    let mut server = audiences.next().map(str::to_owned);
    if audiences.any(|audience| server.as_deref() != Some(audience)) {
        return Err(BadTokenRequest::SeveralTargets);
    }
    for resource in form.all("resource") {
        let named = server_of(resource).ok_or(BadTokenRequest::Resource)?;
        match &server {
            Some(server) if *server != named => return Err(BadTokenRequest::Resource),
            _ => server = Some(named),
        }
    }
    server.ok_or(BadTokenRequest::Missing("audience"))
}

/// Tokenward's own parameter, never sent empty: a request for a session must not be read as one for the subject's
/// grant.
fn session(form: &Form) -> Result<Option<&str>, BadTokenRequest> {
    const NAME: &str = "session";
    match form.once_or_empty(NAME) {
        Err(_) => Err(BadTokenRequest::Duplicate(NAME)),
        Ok(Some("")) => Err(BadTokenRequest::Missing(NAME)),
        Ok(Some(session)) if session.len() > MAX_SESSION_BYTES => Err(BadTokenRequest::Unsupported {
            name: NAME,
            expected: "at most 512 bytes",
        }),
        Ok(session) => Ok(session),
    }
}

/// Control's 200 response (RFC 8693 §2.2.1), plus `expires_at`.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// The token, whatever its type (RFC 8693 names it so).
    pub access_token: String,
    /// [`TOKEN_TYPE_ID_TOKEN`], or [`TOKEN_TYPE_ACCESS_TOKEN`] where the server gets an upstream issuer's access token.
    pub issued_token_type: String,
    /// `Bearer`.
    pub token_type: String,
    /// Whole seconds of life left.
    pub expires_in: u64,
    /// Unix seconds until which the caller may use the token: its `exp`, or earlier.
    pub expires_at: u64,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenAnswer")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Control's error response (RFC 6749 §5.2), plus the typed refusal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenError {
    /// OAuth error code.
    pub error: String,
    /// One sentence for a person.
    pub error_description: String,
    /// [`Refusal::name`].
    pub refusal: String,
}

/// Control's answer, as the filter understands it.
#[derive(Debug, Clone)]
pub enum ControlAnswer {
    /// A token that control judges fresh.
    Token(TokenAnswer),
    /// No token, and why; `retry_after_seconds` if control set it.
    Refused {
        /// The reason.
        refusal: Refusal,
        /// `Retry-After` of control's answer.
        retry_after_seconds: Option<u32>,
    },
}

/// Parses control's answer. `marked` is whether [`MARKER_HEADER`] was present, `retry_after` is that header's value.
///
/// Never fails: an answer that cannot be understood is itself a refusal ([`Refusal::ControlUnreachable`],
/// [`Refusal::ControlLate`], [`Refusal::ControlGarbled`]).
#[must_use]
pub fn read_answer(status: u16, marked: bool, retry_after: Option<&[u8]>, body: &[u8]) -> ControlAnswer {
    let refused = |refusal| ControlAnswer::Refused {
        refusal,
        retry_after_seconds: seconds(retry_after),
    };
    if !marked {
        // Envoy's own replies: 503 for a refused or reset connection, 504 for its timeout; 0 if the stream was reset
        // after the headers (envoy-wasm facts §1.4).
        return refused(match status {
            0 | 502 | 503 => Refusal::ControlUnreachable,
            504 => Refusal::ControlLate,
            _ => Refusal::ControlGarbled,
        });
    }
    let Ok(body) = json::parse(body) else {
        return refused(Refusal::ControlGarbled);
    };
    let text = |name| body.member(name).ok().flatten().and_then(Json::as_text);
    if status != 200 {
        return refused(
            text("refusal")
                .and_then(Refusal::from_name)
                .unwrap_or(Refusal::ControlGarbled),
        );
    }
    let whole = |name| body.member(name).ok().flatten().and_then(Json::as_whole);
    match (
        text("access_token"),
        text("issued_token_type"),
        whole("expires_at"),
    ) {
        (Some(token), Some(kind @ (TOKEN_TYPE_ID_TOKEN | TOKEN_TYPE_ACCESS_TOKEN)), Some(expires_at)) => {
            ControlAnswer::Token(TokenAnswer {
                access_token: token.to_owned(),
                issued_token_type: kind.to_owned(),
                token_type: text("token_type").unwrap_or_default().to_owned(),
                expires_in: whole("expires_in").unwrap_or(0),
                expires_at,
            })
        }
        _ => refused(Refusal::ControlGarbled),
    }
}

/// Delay seconds of RFC 9110 §10.2.3: digits, without a sign.
fn seconds(retry_after: Option<&[u8]>) -> Option<u32> {
    let digits = std::str::from_utf8(retry_after?.trim_ascii()).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}
