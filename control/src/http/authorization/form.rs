//! A client's form at the token and revocation endpoints, with its client authentication (RFC 6749 §2.3, §3.2).

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use secrecy::SecretString;
use tokenward_protocol::form::Form;

use super::cors::with_cors;
use super::hosted::Hosted;
use crate::app::authorization::RequestClient;
use crate::authorization::client::{ClientError, PresentedClient};
use crate::authorization::refusal::AuthorizationRefused;
use crate::authorization::source::Source;
use crate::http::admission::Admitted;
use crate::http::body::RequestBody;

/// Largest form, in bytes: a registered `client_id` and an assertion may have thousands each.
const MAX_FORM_BYTES: usize = 32 * 1024;

/// The form of a request, in which every parameter was sent once.
pub(super) struct ClientForm(Form);

impl ClientForm {
    /// Reads the form.
    ///
    /// # Errors
    /// The response to a body that is not a form.
    pub(super) async fn read(
        hosted: &Hosted,
        admitted: &Admitted,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Self, Box<Response>> {
        let body = RequestBody {
            headers,
            body,
            admitted,
            metrics: hosted.service.metrics(),
        };
        match body.form(MAX_FORM_BYTES).await {
            Ok(form) => Ok(Self(form)),
            Err(response) => Err(Box::new(with_cors(*response))),
        }
    }

    /// Checks that no parameter was sent twice (RFC 6749 §3.2): two parsers would read different requests.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(super) fn check(&self) -> Result<(), AuthorizationRefused> {
        if self.0.has_repeated() {
            return Err(AuthorizationRefused::bad_request(
                "a parameter was sent more than once",
            ));
        }
        Ok(())
    }

    /// The value of `name`; `None` if it was not sent or is empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.once(name).ok().flatten()
    }

    /// The value of `name` as a secret.
    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(SecretString::from)
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// [`AuthorizationRefused`] if it was not sent.
    pub(super) fn required(&self, name: &str) -> Result<SecretString, AuthorizationRefused> {
        self.secret(name)
            .ok_or_else(|| AuthorizationRefused::bad_request(format!("{name} is missing")))
    }

    /// What the request states about its client.
    ///
    /// # Errors
    /// [`ClientError::Secret`] for a shared secret, in a header or in the form: no client has one here, whichever login the
    /// request is about.
    pub(super) fn client(
        &self,
        headers: &HeaderMap,
        source: Source,
    ) -> Result<RequestClient, AuthorizationRefused> {
        let secret = headers.contains_key(AUTHORIZATION) || self.get("client_secret").is_some();
        if secret {
            return Err(ClientError::Secret.into());
        }
        let presented = PresentedClient {
            client_id: self.get("client_id").map(str::to_owned),
            secret,
            assertion_type: self.get("client_assertion_type").map(str::to_owned),
            assertion: self.secret("client_assertion"),
        };
        Ok(RequestClient { presented, source })
    }
}
