//! Logs a user in at the issuer: authorization code flow (OpenID Connect Core §3.1) with PKCE S256 (RFC 7636) and a nonce.

mod id_token;
mod redemption;
mod request;

pub use self::id_token::{BadLoginToken, check_id_token};
pub use self::redemption::{CodeRedemption, is_from_another_issuer};
pub use self::request::{LoginRequest, NoAuthorizationEndpoint, requested_scope, s256};
