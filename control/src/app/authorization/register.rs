//! Registers a client.

use super::AuthorizationServer;
use crate::authorization::client::registration::{BadRegistration, Registration, RegistrationFailed};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::source::{Allowance, Source};

/// A registration with its `client_id`.
pub(crate) struct Registered {
    /// `client_id`.
    pub(crate) client_id: String,
    /// `client_id_issued_at`, Unix seconds.
    pub(crate) issued_at_seconds: u64,
    /// What was registered.
    pub(crate) registration: Registration,
}

impl AuthorizationServer {
    /// Whether `source` may register a client now; decided before the body is read.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(crate) fn admit_registration(&self, source: Source) -> Result<(), AuthorizationRefused> {
        if !self.config.clients.registration.enabled {
            return Err(AuthorizationRefusal::RegistrationOff.into());
        }
        self.clients
            .take(source, Allowance::Registration)
            .map_err(|limited| {
                AuthorizationRefused::new(AuthorizationRefusal::TooMany).retry_after(limited.retry_after)
            })
    }

    /// Registers the client that `body` describes.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(crate) fn register(&self, body: &[u8]) -> Result<Registered, AuthorizationRefused> {
        let private_use = &self.config.clients.private_use_redirects;
        let registration = Registration::read(body, private_use).map_err(|bad| refused(&bad))?;
        let issued = self
            .clients
            .register(&registration)
            .map_err(|failed| match failed {
                RegistrationFailed::Bad(bad) => refused(&bad),
                RegistrationFailed::Seal(error) => {
                    AuthorizationRefused::new(AuthorizationRefusal::Busy).because(error.to_string())
                }
            })?;
        Ok(Registered {
            client_id: issued.client_id,
            issued_at_seconds: issued.at_seconds,
            registration,
        })
    }
}

fn refused(bad: &BadRegistration) -> AuthorizationRefused {
    let refusal = match bad {
        BadRegistration::RedirectUris | BadRegistration::NoRedirectUri(_) => {
            AuthorizationRefusal::InvalidRedirectUri
        }
        BadRegistration::NotAnObject
        | BadRegistration::Name
        | BadRegistration::Grants
        | BadRegistration::TooLong => AuthorizationRefusal::InvalidClientMetadata,
    };
    AuthorizationRefused::new(refusal).because(bad.to_string())
}
