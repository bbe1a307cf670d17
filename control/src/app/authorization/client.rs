//! Client authentication at the token and revocation endpoints.

use super::AuthorizationServer;
use crate::authorization::client::{ClientError, ClientOfLogin, PresentedClient};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::source::Source;

/// A client as a request presents it.
#[derive(Debug)]
pub(crate) struct RequestClient {
    /// What it states.
    pub(crate) presented: PresentedClient,
    /// Where the request comes from.
    pub(crate) source: Source,
}

impl AuthorizationServer {
    /// Checks that `client` is the one of a login, and authenticates as it must. `otherwise` refuses another client.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(super) async fn authenticate(
        &self,
        login: &ClientOfLogin,
        client: &RequestClient,
        otherwise: AuthorizationRefusal,
    ) -> Result<(), AuthorizationRefused> {
        let RequestClient { presented, source } = client;
        match self.clients.authenticate(login, presented, *source).await {
            Err(ClientError::WrongClient) if presented.client_id.is_some() => Err(otherwise.into()),
            checked => Ok(checked?),
        }
    }
}
