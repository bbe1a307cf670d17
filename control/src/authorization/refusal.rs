//! Every reason why an endpoint of our authorization server refuses a request, and the one table of what follows from it.
//!
//! The error code is what clients act on (RFC 6749 §4.1.2.1 and §5.2, RFC 8707 §2, RFC 7009 §2.2.1): after
//! `invalid_grant` they discard their tokens and log in again, after `invalid_client` they register again, and after 503
//! `temporarily_unavailable` they retry with what they have. `server_error` is in no row: the MCP SDKs start a login in a
//! browser after it, as after a 5xx without an OAuth error.

use std::time::Duration;

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::refused::Refused;
use crate::store::StoreError;

/// How a refusal is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalLog {
    /// The client or the user is at fault: DEBUG.
    Debug,
    /// An operator or a user should know: at most one WARN a minute.
    Warn,
}

macro_rules! authorization_refusals {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $status:literal $error:literal, $log:ident, $description:literal;)*) => {
        /// Why our authorization server refuses a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuthorizationRefusal { $($(#[$doc])* $name,)* }

        impl AuthorizationRefusal {
            /// All refusals.
            pub const ALL: &'static [AuthorizationRefusal] = &[$(AuthorizationRefusal::$name,)*];

            /// The name in metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$name => $wire,)* } }

            /// The HTTP status, of a JSON response or of an error page.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $(Self::$name => $status,)* } }

            /// The OAuth error code.
            #[must_use]
            pub const fn error(self) -> &'static str { match self { $(Self::$name => $error,)* } }

            /// How it is logged.
            #[must_use]
            pub const fn log(self) -> RefusalLog { match self { $(Self::$name => RefusalLog::$log,)* } }

            /// One sentence for the reader of the response: what happened and what to do.
            #[must_use]
            pub const fn description(self) -> &'static str { match self { $(Self::$name => $description,)* } }
        }
    };
}

authorization_refusals! {
    /// The request cannot be read: a parameter is missing, repeated or malformed.
    BadRequest = "bad_request", 400 "invalid_request", Debug,
        "the request is malformed";
    /// A `grant_type` other than `authorization_code` and `refresh_token`.
    UnsupportedGrantType = "unsupported_grant_type", 400 "unsupported_grant_type", Debug,
        "grant_type is authorization_code or refresh_token here";
    /// No client has this `client_id`, or its registration is too old.
    UnknownClient = "unknown_client", 401 "invalid_client", Debug,
        "no client with this client_id is known here; register again";
    /// The client did not authenticate as it is configured to, or sent a secret although it has none.
    ClientRejected = "client_rejected", 401 "invalid_client", Debug,
        "the client's authentication is not accepted; a public client sends its client_id and no secret";
    /// The configuration does not accept clients of this kind, or of this host.
    ClientNotAllowed = "client_not_allowed", 401 "invalid_client", Debug,
        "clients of this kind or host are not accepted here";
    /// A client's metadata document, or its keys, cannot be fetched right now.
    ClientDocumentUnavailable = "client_document_unavailable", 503 "temporarily_unavailable", Debug,
        "the client's metadata document cannot be fetched right now; retry later";
    /// The URL of a client's metadata document is malformed, or leads where control does not fetch from.
    ClientDocumentRefused = "client_document_refused", 401 "invalid_client", Debug,
        "the client's metadata document is not fetched from there";
    /// A client's metadata document is not what its URL stands for.
    ClientDocumentInvalid = "client_document_invalid", 401 "invalid_client", Debug,
        "the client's metadata document is not valid";
    /// Clients cannot register here.
    RegistrationOff = "registration_off", 403 "access_denied", Debug,
        "clients cannot register here; use a client with a metadata document, or have it configured";
    /// None of the redirect URIs of a registration is accepted (RFC 7591 §3.2.2).
    InvalidRedirectUri = "invalid_redirect_uri", 400 "invalid_redirect_uri", Debug,
        "the redirect URIs are not accepted";
    /// A registration is not accepted for another reason (RFC 7591 §3.2.2).
    InvalidClientMetadata = "invalid_client_metadata", 400 "invalid_client_metadata", Debug,
        "the client's metadata is not accepted";
    /// The code was never issued, or has expired.
    UnknownCode = "unknown_code", 400 "invalid_grant", Debug,
        "the authorization code is not known or has expired; log in again";
    /// The code belongs to another client, redirect URI or verifier. It stays usable for its owner.
    CodeMismatch = "code_mismatch", 400 "invalid_grant", Debug,
        "client_id, redirect_uri or code_verifier is not the one of this authorization code";
    /// The code was used before: the login that it gave has ended.
    CodeReused = "code_reused", 400 "invalid_grant", Warn,
        "the authorization code was used before, so its login has ended; log in again";
    /// The refresh token is none of ours, or its login is no longer stored.
    UnknownRefreshToken = "unknown_refresh_token", 400 "invalid_grant", Debug,
        "the refresh token is not known here; log in again";
    /// Another client presents the refresh token.
    RefreshTokenMismatch = "refresh_token_mismatch", 400 "invalid_grant", Debug,
        "the refresh token belongs to another client";
    /// A refresh token was used again after its time: the login has ended (RFC 9700 §4.14.2).
    Reuse = "reuse", 400 "invalid_grant", Warn,
        "the refresh token was used before, so its login has ended; log in again";
    /// The login has reached its end, or was not refreshed for too long.
    LoginExpired = "login_expired", 400 "invalid_grant", Debug,
        "the login has expired; log in again";
    /// The login has ended: a sign-out, or the upstream issuer will never refresh it again.
    LoginEnded = "login_ended", 400 "invalid_grant", Debug,
        "the login has ended; log in again";
    /// `resource` names no server of ours, or another one than the login is for (RFC 8707 §2).
    InvalidTarget = "invalid_target", 400 "invalid_target", Debug,
        "resource is not a server that this login can be for";
    /// `scope` asks for more than the login has (RFC 6749 §6).
    InvalidScope = "invalid_scope", 400 "invalid_scope", Debug,
        "scope may only contain scopes that the login has";
    /// Revocation of an access token (RFC 7009 §2.2.1): it ends with its login, or by itself.
    UnsupportedTokenType = "unsupported_token_type", 400 "unsupported_token_type", Debug,
        "access tokens cannot be revoked; revoke the refresh token, which ends the login";
    /// Too many requests from one source.
    TooMany = "too_many", 429 "temporarily_unavailable", Debug,
        "too many requests from this address; retry later";
    /// The store is down or too slow. Nothing was used up.
    StoreUnavailable = "store_unavailable", 503 "temporarily_unavailable", Warn,
        "the session store does not answer; logins stay valid, retry later";
    /// Control is overloaded, or several replicas changed one record at the same moment.
    Busy = "busy", 503 "temporarily_unavailable", Debug,
        "too much is going on; retry shortly";
    /// The upstream issuer is down, slow or overloaded.
    IssuerUnavailable = "issuer_unavailable", 503 "temporarily_unavailable", Warn,
        "the issuer does not answer right now; retry later";
    /// An operator must fix the configuration of control or of the upstream issuer.
    Misconfigured = "misconfigured", 503 "temporarily_unavailable", Warn,
        "the login service is not configured correctly; an operator must fix it";
    /// `redirect_uri` is none of the client's: nothing is sent there.
    UnknownRedirectUri = "unknown_redirect_uri", 400 "invalid_request", Debug,
        "redirect_uri is none that this client has registered";
    /// A `response_type` other than `code`.
    UnsupportedResponseType = "unsupported_response_type", 400 "unsupported_response_type", Debug,
        "response_type is code here";
    /// `prompt=none`: a login needs its user.
    LoginRequired = "login_required", 400 "login_required", Debug,
        "a login needs its user: prompt=none is not possible";
    /// The user denied the client's request.
    Denied = "denied", 400 "access_denied", Debug,
        "the user denied the request";
    /// A page or a response of another browser, or a form that another site sent.
    OtherBrowser = "other_browser", 403 "access_denied", Debug,
        "this login was not started in this browser, or its cookie is gone";
    /// The login was finished before, or took too long.
    UnknownLogin = "unknown_login", 400 "access_denied", Debug,
        "this login has been finished before, or took too long";
    /// The response names another issuer than the one where the user was sent (RFC 9207).
    MixUp = "mix_up", 400 "access_denied", Warn,
        "the response comes from another issuer than the one where the login began";
    /// The upstream issuer denied the login.
    UpstreamDenied = "upstream_denied", 403 "access_denied", Debug,
        "the issuer denied the login";
    /// Another user logged in than the one whose remembered consent was used.
    ConsentOfAnother = "consent_of_another", 403 "access_denied", Debug,
        "another user has agreed to this in this browser before, not the one who logged in now";
    /// The upstream issuer does not accept its code any more.
    UpstreamCodeRejected = "upstream_code_rejected", 400 "access_denied", Warn,
        "the issuer does not accept its authorization code any more";
    /// What the upstream issuer sent is not a login of this user: wrong signature, audience or nonce.
    UpstreamInvalid = "upstream_invalid", 502 "temporarily_unavailable", Warn,
        "the issuer's answer is not a valid login";
    /// The upstream issuer gave no refresh token.
    NoRefreshToken = "no_refresh_token", 502 "temporarily_unavailable", Warn,
        "the issuer gave no refresh token, without which the login would end after minutes";
    /// The upstream issuer's answer was lost: it may have accepted the code.
    OutcomeUnknown = "outcome_unknown", 503 "temporarily_unavailable", Warn,
        "the issuer's answer to this login was lost";
}

/// `Retry-After` of a refusal that passes, without a time of its own.
const RETRY_SECONDS: u64 = 2;
/// `Retry-After` where an operator has to act first.
const MISCONFIGURED_RETRY_SECONDS: u64 = 60;

/// A refusal with its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRefused {
    /// The typed reason.
    pub refusal: AuthorizationRefusal,
    /// The exact cause and a hint; contains no token and no secret. Empty where the refusal is clear by itself.
    pub cause: String,
    /// Time until a retry can succeed, in whole seconds.
    pub retry_after_seconds: Option<u64>,
}

impl AuthorizationRefused {
    /// A refusal without details.
    #[must_use]
    pub fn new(refusal: AuthorizationRefusal) -> Self {
        Self {
            refusal,
            cause: String::new(),
            retry_after_seconds: None,
        }
    }

    /// [`AuthorizationRefusal::BadRequest`] because of `cause`.
    #[must_use]
    pub fn bad_request(cause: impl Into<String>) -> Self {
        Self::new(AuthorizationRefusal::BadRequest).because(cause)
    }

    /// Sets the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Sets the time until a retry can succeed (rounded up to a second).
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.retry_after_seconds = Some(seconds.max(1));
        self
    }

    /// `Retry-After` in seconds: with every 429 and 503, with nothing else.
    #[must_use]
    pub fn retry_after_header(&self) -> Option<u64> {
        let seconds = match (self.refusal.status(), self.refusal) {
            (_, AuthorizationRefusal::Misconfigured) => MISCONFIGURED_RETRY_SECONDS,
            (429 | 503, _) => RETRY_SECONDS,
            _ => return None,
        };
        Some(self.retry_after_seconds.unwrap_or(seconds))
    }

    /// The text for `error_description`.
    #[must_use]
    pub fn description(&self) -> String {
        if self.cause.is_empty() {
            self.refusal.description().to_owned()
        } else {
            format!("{}: {}", self.refusal.description(), self.cause)
        }
    }
}

impl From<AuthorizationRefusal> for AuthorizationRefused {
    fn from(refusal: AuthorizationRefusal) -> Self {
        Self::new(refusal)
    }
}

impl From<StoreError> for AuthorizationRefused {
    fn from(error: StoreError) -> Self {
        Refused::from(error).into()
    }
}

impl From<Refused> for AuthorizationRefused {
    fn from(refused: Refused) -> Self {
        let refusal = match (refused.refusal, refused.refusal.class()) {
            (Refusal::StoreUnavailable, _) => AuthorizationRefusal::StoreUnavailable,
            (Refusal::BadRequest, _) => AuthorizationRefusal::BadRequest,
            (Refusal::Busy, _) => AuthorizationRefusal::Busy,
            (_, RefusalClass::LoginNeeded) => AuthorizationRefusal::LoginEnded,
            (_, RefusalClass::Transient) => AuthorizationRefusal::IssuerUnavailable,
            (_, RefusalClass::Misconfigured) => AuthorizationRefusal::Misconfigured,
        };
        Self {
            refusal,
            cause: refused.cause,
            retry_after_seconds: refused.retry_after_seconds,
        }
    }
}
