//! Clients by metadata document (CIMD): the `client_id` is the URL of a document, and its host vouches for what the document
//! states.
//!
//! The fetch is made for any caller that sends a browser to the authorization endpoint. So it is restrained by host
//! ([`MetadataDocumentHosts`]), by address ([`address`]), in size and time ([`fetch`]), per URL ([`cache`]) and per source
//! ([`crate::authorization::source`]).

pub mod address;
pub mod cache;
pub mod document;
pub mod fetch;
pub mod freshness;
pub mod url;

mod fetched;

use std::collections::HashMap;
use std::sync::Arc;

use self::document::{BadDocument, MAX_DOCUMENT_BYTES};
use self::fetch::{FetchError, Fetcher, FetcherUnusable, Resolver};
use self::fetched::FetchedDocuments;
use self::url::{BadDocumentUrl, DocumentUrl};
use super::Client;
use crate::authorization::source::{Source, SourceLimited, SourceLimits};
use crate::config::{ClientsConfig, MetadataDocumentHosts};
use crate::context::Context;
use crate::observe::metrics::Metrics;
use crate::upstream::issuer::key_set::KeySet;

/// The longest key set of a client, in bytes.
const MAX_KEY_SET_BYTES: usize = 64 * 1024;

/// Why there is no client for a URL, or no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not the URL of a document.
    #[error(transparent)]
    Url(#[from] BadDocumentUrl),
    /// The configuration does not accept documents of this host.
    #[error(
        "documents of the host {host} are not accepted: an operator can add it to clients.metadata_documents.hosts"
    )]
    Host {
        /// The host.
        host: String,
    },
    /// It cannot be fetched.
    #[error("the client's document at its client_id: {0}")]
    Fetch(#[from] FetchError),
    /// It is not believed.
    #[error("the client's document at its client_id: {0}")]
    Bad(#[from] BadDocument),
    /// It could not be fetched or believed a moment ago.
    #[error("{error}; it is not fetched again for {} s", retry_after.as_secs() + 1)]
    Paused {
        /// Why.
        error: Box<DocumentError>,
        /// When it may be fetched again.
        retry_after: std::time::Duration,
    },
    /// Too many documents are being fetched.
    #[error("too many documents are being fetched")]
    Busy,
    /// The source of the request has used up its fetches.
    #[error(transparent)]
    Source(#[from] SourceLimited),
}

impl DocumentError {
    /// Its name in metrics.
    const fn name(&self) -> &'static str {
        match self {
            Self::Url(_) => "url",
            Self::Host { .. } => "host",
            Self::Fetch(error) => error.name(),
            Self::Bad(_) => "invalid",
            Self::Paused { .. } => "paused",
            Self::Busy => "busy",
            Self::Source(_) => "source_limited",
        }
    }
}

/// The clients with a metadata document, of one configuration.
#[derive(Debug)]
pub struct MetadataDocuments {
    hosts: MetadataDocumentHosts,
    local: bool,
    private_use: Vec<String>,
    pinned: HashMap<String, Result<Client, DocumentError>>,
    documents: FetchedDocuments<Client>,
    key_sets: FetchedDocuments<Arc<KeySet>>,
    metrics: Metrics,
}

impl MetadataDocuments {
    /// The documents of `config`.
    ///
    /// # Errors
    /// [`FetcherUnusable`].
    pub fn new(
        config: &ClientsConfig,
        context: &Context,
        limits: &Arc<SourceLimits>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, FetcherUnusable> {
        let fetcher = Fetcher::new(&config.metadata_documents, resolver)?;
        let documents = &config.metadata_documents;
        let local = documents.allow_private_addresses;
        let private_use = config.private_use_redirects.clone();
        let pinned = documents.pinned.iter().map(|pinned| {
            let id = pinned.client_id.clone();
            let client = read_pinned(&id, pinned.document.as_bytes(), local, &private_use);
            (id, client)
        });
        Ok(Self {
            pinned: pinned.collect(),
            hosts: documents.hosts.clone(),
            local,
            documents: FetchedDocuments::new(fetcher.clone(), limits, context, MAX_DOCUMENT_BYTES),
            key_sets: FetchedDocuments::new(fetcher, limits, context, MAX_KEY_SET_BYTES),
            private_use,
            metrics: context.metrics.clone(),
        })
    }

    /// These, with the documents that `earlier` has fetched, unless another configuration would have read them otherwise. Which
    /// hosts are accepted is decided for each request.
    #[must_use]
    pub fn with_cache_of(self, earlier: &Self) -> Self {
        if (self.local, &self.private_use) != (earlier.local, &earlier.private_use) {
            return self;
        }
        Self {
            documents: self.documents.with_cache_of(&earlier.documents),
            key_sets: self.key_sets.with_cache_of(&earlier.key_sets),
            ..self
        }
    }

    /// Whether the configuration accepts a client with this document, without fetching it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn accepts(&self, client_id: &str) -> Result<(), DocumentError> {
        match self.pinned.get(client_id) {
            Some(pinned) => pinned.clone().map(drop),
            None => self.url(client_id).map(drop),
        }
    }

    /// The client whose document is at `client_id`.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn client(&self, client_id: &str, source: Source) -> Result<Client, DocumentError> {
        let found = self.find(client_id, source).await;
        self.counted(found)
    }

    /// The client, and how its document was found.
    async fn find(&self, client_id: &str, source: Source) -> Result<(Client, &'static str), DocumentError> {
        if let Some(pinned) = self.pinned.get(client_id) {
            return pinned.clone().map(|client| (client, "pinned"));
        }
        let url = self.url(client_id)?;
        let (id, private_use) = (client_id.to_owned(), self.private_use.clone());
        let read = {
            let url = url.clone();
            move |body: &[u8]| document::read(body, &id, &url, &private_use)
        };
        // A host that any caller may have chosen gets no credit for what it once served.
        let keep_last = self.hosts != MetadataDocumentHosts::Any;
        self.documents.get(&url, source, keep_last, read).await
    }

    /// The keys at a client's `jwks_uri`; if `newer` is set, not from the cache, unless they were fetched a moment ago.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn keys(
        &self,
        jwks_uri: &str,
        newer: bool,
        source: Source,
    ) -> Result<Arc<KeySet>, DocumentError> {
        let url = DocumentUrl::read(jwks_uri, self.local)?;
        if newer {
            self.key_sets.expire(&url);
        }
        let read = |body: &[u8]| match KeySet::read(body) {
            Ok(set) => Ok(Arc::new(set)),
            Err(_) => Err(BadDocument::Keys),
        };
        let found = self.key_sets.get(&url, source, true, read).await;
        self.counted(found)
    }

    /// Counts how something was found, or why not.
    fn counted<T>(&self, found: Result<(T, &'static str), DocumentError>) -> Result<T, DocumentError> {
        let outcome = match &found {
            Ok((_, outcome)) => outcome,
            Err(error) => error.name(),
        };
        self.metrics.authorization.client_document(outcome);
        found.map(|(found, _)| found)
    }

    /// The URL of a document that may be fetched.
    fn url(&self, client_id: &str) -> Result<DocumentUrl, DocumentError> {
        let url = DocumentUrl::read(client_id, self.local)?;
        let is_accepted = match &self.hosts {
            MetadataDocumentHosts::Pinned => false,
            MetadataDocumentHosts::Listed(hosts) => hosts.iter().any(|host| host == url.host()),
            MetadataDocumentHosts::Any => true,
        };
        if is_accepted {
            Ok(url)
        } else {
            Err(DocumentError::Host {
                host: url.host().to_owned(),
            })
        }
    }
}

fn read_pinned(
    client_id: &str,
    body: &[u8],
    local: bool,
    private_use: &[String],
) -> Result<Client, DocumentError> {
    let url = DocumentUrl::read(client_id, local)?;
    let client = document::read(body, client_id, &url, private_use);
    client.map_err(|bad| {
        tracing::warn!(client_id, cause = %bad, "a pinned metadata document is not valid");
        bad.into()
    })
}
