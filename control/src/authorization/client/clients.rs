//! Finds the client of a request, and checks that a request at the token endpoint is of its login's client.

use std::sync::Arc;

use secrecy::SecretString;

use super::error::ClientError;
use super::metadata_document::MetadataDocuments;
use super::metadata_document::fetch::{FetcherUnusable, Resolver, SystemResolver};
use super::proof::{Prover, Proving};
use super::registration::{self, Issued, NotRegistered, Registration, RegistrationFailed};
use super::{AuthenticationMethod, Client, ClientAuthentication, ClientKeys, ClientKind, ClientOfLogin};
use crate::authorization::source::{Allowance, Source, SourceLimited, SourceLimits};
use crate::clock::Clock;
use crate::config::{AuthorizationConfig, ClientsConfig, ConfiguredClient};
use crate::context::Context;
use crate::record::keyring::KeyRing;

/// What a request at the token endpoint presents of its client.
#[derive(Debug, Clone, Default)]
pub struct PresentedClient {
    /// `client_id`; with an assertion it may be absent (RFC 7521 §4.2).
    pub client_id: Option<String>,
    /// Whether a secret is presented: `client_secret`, or an `Authorization` header.
    pub secret: bool,
    /// `client_assertion_type` (RFC 7521 §4.2).
    pub assertion_type: Option<String>,
    /// `client_assertion`.
    pub assertion: Option<SecretString>,
}

/// The clients of one configuration.
#[derive(Debug)]
pub struct Clients {
    issuer: String,
    config: ClientsConfig,
    configured: Vec<Client>,
    documents: MetadataDocuments,
    prover: Prover,
    limits: Arc<SourceLimits>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl Clients {
    /// The clients of `config`.
    ///
    /// # Errors
    /// [`FetcherUnusable`].
    pub fn new(config: &AuthorizationConfig, context: &Context) -> Result<Self, FetcherUnusable> {
        Self::with_resolver(config, context, Arc::new(SystemResolver))
    }

    /// The clients of the next configuration, with the fetched documents and the used up allowances of these.
    ///
    /// # Errors
    /// [`FetcherUnusable`].
    pub fn succeeded_by(
        &self,
        config: &AuthorizationConfig,
        context: &Context,
    ) -> Result<Self, FetcherUnusable> {
        let next = Self::assemble(
            config,
            context,
            Arc::new(SystemResolver),
            Arc::clone(&self.limits),
        )?;
        Ok(Self {
            documents: next.documents.with_cache_of(&self.documents),
            ..next
        })
    }

    /// The clients of `config`, whose documents' hosts are resolved with `resolver`.
    ///
    /// # Errors
    /// [`FetcherUnusable`].
    pub fn with_resolver(
        config: &AuthorizationConfig,
        context: &Context,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, FetcherUnusable> {
        Self::assemble(config, context, resolver, Arc::default())
    }

    fn assemble(
        config: &AuthorizationConfig,
        context: &Context,
        resolver: Arc<dyn Resolver>,
        limits: Arc<SourceLimits>,
    ) -> Result<Self, FetcherUnusable> {
        Ok(Self {
            documents: MetadataDocuments::new(&config.clients, context, &limits, resolver)?,
            prover: Prover::new(&config.issuer, context),
            issuer: config.issuer.clone(),
            configured: config.clients.configured.iter().map(configured).collect(),
            config: config.clients.clone(),
            limits,
            ring: Arc::clone(&context.ring),
            clock: Arc::clone(&context.clock),
        })
    }

    /// The client that requests an authorization: configured, by metadata document, or registered, in this order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn find(&self, client_id: &str, source: Source) -> Result<Client, ClientError> {
        if let Some(client) = self.configured(client_id) {
            return Ok(client.clone());
        }
        if is_url(client_id) {
            return Ok(self.documents.client(client_id, source).await?);
        }
        if client_id.starts_with(registration::PREFIX) {
            return Ok(self.registered(client_id)?);
        }
        Err(ClientError::Unknown)
    }

    /// Checks that a request at the token or revocation endpoint is of the client of its login. For a public client that is
    /// the `client_id` alone; no document is fetched.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn authenticate(
        &self,
        login: &ClientOfLogin,
        presented: &PresentedClient,
        source: Source,
    ) -> Result<(), ClientError> {
        if presented.secret {
            return Err(ClientError::Secret);
        }
        match (&presented.client_id, &presented.assertion) {
            (Some(stated), _) if *stated == login.id => {}
            // The assertion names it.
            (None, Some(_)) => {}
            _ => return Err(ClientError::WrongClient),
        }
        match (login.authentication, &presented.assertion) {
            (AuthenticationMethod::None | AuthenticationMethod::PrivateKeyJwtOrNone, None) => {
                self.accepts(&login.id)
            }
            (
                AuthenticationMethod::PrivateKeyJwt | AuthenticationMethod::PrivateKeyJwtOrNone,
                Some(token),
            ) => {
                let client = self.find(&login.id, source).await?;
                let ClientAuthentication::PrivateKeyJwt { keys, .. } = &client.authentication else {
                    return Err(ClientError::Method);
                };
                let proving = Proving {
                    client_id: &login.id,
                    keys,
                    assertion_type: presented.assertion_type.as_deref(),
                    token,
                };
                self.prover.check(&proving, &self.documents, source).await
            }
            _ => Err(ClientError::Method),
        }
    }

    /// Issues the `client_id` of `registration`.
    ///
    /// # Errors
    /// [`RegistrationFailed`].
    pub fn register(&self, registration: &Registration) -> Result<Issued, RegistrationFailed> {
        registration.seal(&self.ring, &self.issuer, self.clock.now_ms())
    }

    /// Takes one from an allowance of `source`.
    ///
    /// # Errors
    /// [`SourceLimited`].
    pub fn take(&self, source: Source, allowance: Allowance) -> Result<(), SourceLimited> {
        self.limits.take(source, allowance, self.clock.now_ms())
    }

    /// Whether the configuration still accepts the public client `client_id`, by what is known without a fetch.
    fn accepts(&self, client_id: &str) -> Result<(), ClientError> {
        if let Some(client) = self.configured(client_id) {
            return match client.authentication {
                ClientAuthentication::None => Ok(()),
                ClientAuthentication::PrivateKeyJwt { .. } => Err(ClientError::Method),
            };
        }
        if is_url(client_id) {
            return Ok(self.documents.accepts(client_id)?);
        }
        if client_id.starts_with(registration::PREFIX) {
            return Ok(self.registered(client_id).map(drop)?);
        }
        Err(ClientError::Unknown)
    }

    fn configured(&self, client_id: &str) -> Option<&Client> {
        self.configured.iter().find(|client| client.id == client_id)
    }

    fn registered(&self, client_id: &str) -> Result<Client, NotRegistered> {
        let now_ms = self.clock.now_ms();
        registration::open(client_id, &self.ring, &self.issuer, &self.config, now_ms)
    }
}

/// Whether a `client_id` is meant as the URL of a document. No configured or registered client has such an id.
fn is_url(client_id: &str) -> bool {
    client_id.starts_with("https://") || client_id.starts_with("http://")
}

fn configured(config: &ConfiguredClient) -> Client {
    Client {
        id: config.client_id.clone(),
        name: config.name.clone(),
        kind: ClientKind::Configured,
        redirect_uris: config.redirect_uris.clone(),
        authentication: match &config.jwks {
            None => ClientAuthentication::None,
            Some(jwks) => ClientAuthentication::PrivateKeyJwt {
                keys: ClientKeys::Inline(jwks.clone()),
                required: true,
            },
        },
    }
}
