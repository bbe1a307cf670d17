//! Revocation (RFC 7009): the client of a refresh token ends the login.

use secrecy::{ExposeSecret, SecretString};

use super::AuthorizationServer;
use super::client::RequestClient;
use crate::app::Service;
use crate::authorization::family::token::PresentedRefreshToken;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::session::SessionKey;

/// What a revocation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// The login has ended.
    Ended,
    /// No login has this token: it was revoked before, or was never ours (RFC 7009 §2.2).
    Unknown,
}

impl Service {
    /// Ends the login of a refresh token, whichever generation it is of.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(crate) async fn revoke(
        &self,
        server: &AuthorizationServer,
        client: &RequestClient,
        token: &SecretString,
    ) -> Result<Revoked, AuthorizationRefused> {
        let Some(presented) = PresentedRefreshToken::read(token) else {
            return if is_jwt(token) {
                Err(AuthorizationRefusal::UnsupportedTokenType.into())
            } else {
                Ok(Revoked::Unknown)
            };
        };
        let session = SessionKey::of_id(&presented.session());
        let Some(family) = server.families.read(&session.family()).await? else {
            return Ok(Revoked::Unknown);
        };
        if !presented.is_proven_by(&family.content.secret) {
            return Ok(Revoked::Unknown);
        }
        let known = &family.content.login.client;
        server
            .authenticate(known, client, AuthorizationRefusal::RefreshTokenMismatch)
            .await?;
        self.end_login(server, &session).await?;
        Ok(Revoked::Ended)
    }
}

/// Whether `token` has the form of an access token of ours.
fn is_jwt(token: &SecretString) -> bool {
    token.expose_secret().split('.').count() == 3
}
