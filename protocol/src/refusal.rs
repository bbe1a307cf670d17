//! Every reason why a request cannot have a fresh token, and the one table of what follows from it.
//!
//! A refusal alone decides status, headers, gate, log level and metric, in the filter and at control's token endpoint.
//! 401 is used only if a person must log in: MCP clients discard their tokens on 401, and never on 503 or 431. 400, 404
//! and 405 are never used for a request to a known server: old MCP clients read them as "start over".

use serde::{Deserialize, Serialize};

/// The party that must act after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// A person must log in, or the client must send a proper token.
    LoginNeeded,
    /// Waiting helps; nothing is known against the session.
    Transient,
    /// An operator must fix a configuration; retrying soon is useless, and no login is at fault.
    Misconfigured,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $class:ident, $control_status:literal $control_error:literal, $description:literal;)*) => {
        /// Why no token is available.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            /// All refusals, in the order of their codes.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name,)*];

            /// The name in JSON, metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Refusal::$name => $wire,)* } }

            /// The party that must act.
            #[must_use]
            pub const fn class(self) -> RefusalClass { match self { $(Refusal::$name => RefusalClass::$class,)* } }

            /// One sentence for the reader of the response: what happened and what to do.
            #[must_use]
            pub const fn description(self) -> &'static str { match self { $(Refusal::$name => $description,)* } }

            /// Status at control's token endpoint (RFC 6749 §5.2; the filter never passes it on).
            #[must_use]
            pub const fn control_status(self) -> u16 { match self { $(Refusal::$name => $control_status,)* } }

            /// OAuth error code at control's token endpoint (RFC 6749 §5.2, RFC 8693 §2.2.2).
            #[must_use]
            pub const fn control_error(self) -> &'static str { match self { $(Refusal::$name => $control_error,)* } }
        }
    };
}

// The order is part of the filter's shared-data format (`Refusal::code`): add at the end only.
refusals! {
    /// No `Authorization: Bearer` header.
    MissingBearer = "missing_bearer", LoginNeeded, 400 "invalid_request",
        "no bearer token was sent";
    /// The bearer is not a JWT with an expiry.
    MalformedBearer = "malformed_bearer", LoginNeeded, 400 "invalid_request",
        "the bearer token is not a JWT with an expiry";
    /// More than one bearer: the next hop might read another one.
    AmbiguousBearer = "ambiguous_bearer", LoginNeeded, 400 "invalid_request",
        "more than one bearer token was sent";
    /// The token's `iss` is not the server's.
    WrongIssuer = "wrong_issuer", LoginNeeded, 400 "invalid_grant",
        "the token was issued by an issuer that this server does not accept";
    /// The token lacks an audience that the server requires.
    WrongAudience = "wrong_audience", LoginNeeded, 400 "invalid_grant",
        "the token lacks an audience that this server requires";
    /// The grant is dead: the issuer will never refresh it again.
    NeedsLogin = "needs_login", LoginNeeded, 400 "invalid_grant",
        "the login has ended at the issuer; log in again";
    /// Control knows no such session or grant.
    UnknownSession = "unknown_session", LoginNeeded, 400 "invalid_grant",
        "no login is known for this token; log in again";
    /// The presented token does not prove the session (signature, another user, too old).
    SubjectRejected = "subject_rejected", LoginNeeded, 400 "invalid_grant",
        "the presented token does not prove this login; log in again";
    /// The issuer is down, slow or overloaded.
    IssuerUnavailable = "issuer_unavailable", Transient, 503 "temporarily_unavailable",
        "the issuer cannot refresh the token right now; the login stays valid, retry later";
    /// The remote issuer refused or failed the exchange although the subject token was fresh.
    ExchangeUnavailable = "exchange_unavailable", Transient, 503 "temporarily_unavailable",
        "the remote issuer cannot exchange the token right now; the login stays valid, retry later";
    /// The store is down or too slow.
    StoreUnavailable = "store_unavailable", Transient, 503 "temporarily_unavailable",
        "the session store does not answer; logins stay valid, retry later";
    /// Another holder of the lease has not finished in time, or control is overloaded.
    Busy = "busy", Transient, 503 "temporarily_unavailable",
        "the token is being refreshed; retry shortly";
    /// Control could not be reached from the gateway.
    ControlUnreachable = "control_unreachable", Transient, 503 "temporarily_unavailable",
        "the gateway cannot reach the token service; logins stay valid, retry later";
    /// Control did not answer within the filter's deadline.
    ControlLate = "control_late", Transient, 503 "temporarily_unavailable",
        "the token service did not answer in time; logins stay valid, retry later";
    /// Control's answer could not be understood.
    ControlGarbled = "control_garbled", Transient, 503 "temporarily_unavailable",
        "the gateway does not understand the token service's answer; retry later";
    /// Control answered with a token that is stale by the filter's own margin.
    AnswerStale = "answer_stale", Transient, 503 "temporarily_unavailable",
        "the token service has no token that lives longer than the gateway's margin; retry later";
    /// Control answered with a token that does not fit the server or the presented token.
    AnswerUnfit = "answer_unfit", Misconfigured, 500 "server_error",
        "the token service answered with a token of another issuer, audience or subject; an operator must compare both configurations";
    /// Control does not know the server that the filter named.
    UnknownServer = "unknown_server", Misconfigured, 400 "invalid_target",
        "this server is not configured; an operator must add it";
    /// The issuer refuses control's own client, connector or grant type, something else answers in its place, or the token
    /// that it gives cannot be read or verified.
    IssuerMisconfigured = "issuer_misconfigured", Misconfigured, 500 "server_error",
        "the issuer and the token service do not fit together; an operator must investigate, logging in again does not help";
    /// The remote issuer refuses the exchange client, connector or audience.
    ExchangeMisconfigured = "exchange_misconfigured", Misconfigured, 500 "server_error",
        "the remote issuer refuses the exchange's client, connector or audience; an operator must fix it, logging in again does not help";
    /// The issuer's answer names another issuer, subject or audience: a substituted token.
    Substitution = "substitution", Misconfigured, 500 "server_error",
        "the issuer answered with a token of another issuer, subject or audience; the old login stays valid, an operator must investigate";
    /// Control does not accept the filter's credential.
    CallerRejected = "caller_rejected", Misconfigured, 401 "invalid_client",
        "the caller's credential is not accepted by the token service";
    /// The token request itself was malformed.
    BadRequest = "bad_request", Misconfigured, 400 "invalid_request",
        "the token request is malformed";
    /// The filter's own configuration could not be used.
    FilterMisconfigured = "filter_misconfigured", Misconfigured, 500 "server_error",
        "filter misconfigured: an operator must fix the filter's configuration";
    /// The server rejects a token that has not expired, and rejected a newly made one as well.
    TokenRejected = "token_rejected", Transient, 503 "temporarily_unavailable",
        "the server rejects a token that has not expired; it may not know the issuer's new key yet; retry later";
    /// A token is longer than [`crate::jwt::MAX_TOKEN_BYTES`]. A new login brings the same token, so it is not 401; the
    /// client gets 431 (RFC 6585 §5).
    TokenTooLarge = "token_too_large", Misconfigured, 400 "invalid_request",
        "the token is larger than 61440 bytes, which no header can carry; an operator must make the issuer put less into it";
    /// A token's algorithm, or the kind of key that its `kid` names, is not supported (RFC 7518 §3.1).
    AlgorithmUnsupported = "algorithm_unsupported", Misconfigured, 400 "invalid_request",
        "the token is signed with an algorithm or a kind of key that is not supported; an operator must let the issuer use another, such as RS256";
    /// The presented token is a good one that has expired, and control has no login of its subject.
    TokenExpired = "token_expired", LoginNeeded, 400 "invalid_grant",
        "the presented token has expired and no login is registered that could renew it; present a fresh token";
    /// The presented token is no ID token of a configured client (OIDC Core §3.1.3.7, RFC 8725 §3.11).
    WrongTokenType = "wrong_token_type", LoginNeeded, 400 "invalid_grant",
        "the presented token is not an ID token that was issued to a configured client; present the user's ID token";
    /// The presented token is still fresh and nothing newer can be made: that needs a registered login, and there is none.
    NotRegistered = "not_registered", Transient, 503 "temporarily_unavailable",
        "the presented token has not expired, and a newer one can only be made from a registered login, of which there is none; present a newer token when there is one";
    /// The request matches none of the filter's servers, and its configuration forwards nothing else. The client gets
    /// 404, as from an Envoy without such a route.
    Unmatched = "unmatched", Misconfigured, 400 "invalid_target",
        "no protected server has this host and path; an operator must configure it, or list it as unprotected";
    /// The request's headers are incomplete, or its host is not a plain host name. The client gets 400.
    UnreadableRequest = "unreadable_request", Misconfigured, 400 "invalid_request",
        "the request's headers cannot be read, or its host is not a plain host name with at most a port";
    /// The token expires before this try of the request could be answered: the filter decided about the request long
    /// ago, and it has waited or was tried before.
    SentLate = "sent_late", Transient, 503 "temporarily_unavailable",
        "the token expired while the request waited behind the gateway or was tried again; the login stays valid, retry now";
    /// The filter's limit of calls to control for tokens that control has never accepted, for this pair or in total.
    CallLimit = "call_limit", Transient, 503 "temporarily_unavailable",
        "too many tokens that were never accepted are presented; this one was not checked, retry shortly";
    /// The user, the session or the signing key of the token has ended (`crate::filter_state`).
    SignedOut = "signed_out", LoginNeeded, 400 "invalid_grant",
        "the user has signed out since this token was issued; log in again";
    /// The filter has not learned yet which servers it protects.
    StateMissing = "state_missing", Transient, 503 "temporarily_unavailable",
        "the gateway has not learned its servers from the token service yet; retry shortly";
}

impl Refusal {
    /// A small number for the shared-data format; the position in [`Refusal::ALL`].
    #[must_use]
    pub fn code(self) -> u8 {
        Self::ALL
            .iter()
            .position(|refusal| *refusal == self)
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(u8::MAX)
    }

    /// The refusal of a [`Refusal::code`], if that code is known.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The refusal of a [`Refusal::name`], if that name is known.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.name() == name)
    }

    /// Status that the MCP client sees.
    #[must_use]
    pub fn client_status(self) -> u16 {
        match (self, self.class()) {
            (Self::TokenTooLarge, _) => 431,
            (Self::Unmatched, _) => 404,
            (Self::UnreadableRequest, _) => 400,
            (_, RefusalClass::LoginNeeded) => 401,
            (_, RefusalClass::Transient | RefusalClass::Misconfigured) => 503,
        }
    }

    /// Error code that the MCP client sees (RFC 6750 §3.1; `temporarily_unavailable` and `server_error` from RFC 6749).
    #[must_use]
    pub fn client_error(self) -> &'static str {
        match (self, self.class()) {
            (Self::TokenTooLarge | Self::UnreadableRequest, _) => "invalid_request",
            (Self::Unmatched, _) => "invalid_target",
            (_, RefusalClass::LoginNeeded) => "invalid_token",
            (_, RefusalClass::Transient) => "temporarily_unavailable",
            (_, RefusalClass::Misconfigured) => "server_error",
        }
    }
}
