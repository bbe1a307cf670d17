//! What an OAuth error means, whatever code and text an issuer writes for it.

/// What an issuer's OAuth error means for the request and for the token that it presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorMeaning {
    /// The presented grant is not valid: RFC 6749 §5.2 `invalid_grant`, and the codes that other issuers send in its place.
    InvalidGrant,
    /// The refresh token was used, rotated away, revoked or replaced, or never existed.
    RefreshTokenClaimed,
    /// The refresh token is past the issuer's lifetimes.
    RefreshTokenExpired,
    /// The user must act at the issuer (OIDC Core §3.1.2.6).
    InteractionRequired,
    /// The issuer denies this user or this client.
    AccessDenied,
    /// The issuer reports a failure of its own.
    IssuerFailing,
    /// The issuer requests a later attempt; this says nothing about the presented token.
    TryLater,
    /// The client's id, secret or authentication method is not accepted.
    InvalidClient,
    /// The client may not use this grant type.
    GrantTypeNotAllowed,
    /// The connector that the exchange names does not exist.
    UnknownConnector,
    /// The remote issuer does not accept the subject token for this client: it is of another kind, or for another client.
    SubjectNotAccepted,
    /// The user or an administrator has not consented to what the client requests.
    ConsentMissing,
    /// The client may not exchange tokens.
    ExchangeNotEnabled,
    /// The requested audience does not exist, or is not available to the client.
    UnknownAudience,
    /// The request itself, its scope or its target is not accepted.
    InvalidRequest,
}
