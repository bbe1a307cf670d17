//! A login as it is handed to [`super::Grants`].

use secrecy::SecretString;
use tokenward_protocol::jwt::Claims;

use crate::config::RefreshTokens;
use crate::upstream::issuer::access_token::GivenAccessToken;
use crate::upstream::issuer::answer::response::TokenResponse;

/// A login to be registered; its ID token has been verified.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// The ID token.
    pub id_token: &'a SecretString,
    /// Its claims.
    pub claims: &'a Claims,
    /// The client to which it was issued.
    pub client_id: &'a str,
    /// The refresh token of the same login.
    pub refresh_token: Option<&'a SecretString>,
    /// The access token of the same login, where a server needs it.
    pub access_token: Option<&'a GivenAccessToken>,
    /// The ID token's `sid`: the issuer's own session of the login.
    pub session_id: Option<&'a str>,
    /// Whether each login of its issuer has a refresh token of its own.
    pub refresh_tokens: RefreshTokens,
    /// How it came to be known.
    pub source: LoginSource<'a>,
}

/// How a login came to be known.
#[derive(Debug, Clone, Copy)]
pub enum LoginSource<'a> {
    /// By `PUT /v1/sessions`.
    Registered {
        /// Whether clients of its issuer refresh through the relay.
        is_relayed: bool,
    },
    /// From this answer, which passed through the relay.
    Learned(&'a TokenResponse),
}
