//! Fetches a document from a host that a client named. Any caller can name one, so the request goes to public addresses only,
//! follows nothing, reads little and ends soon.

use std::error::Error as StdError;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use url::{Host, Url};

use super::address::is_public;
use super::freshness::fresh_for;
use crate::config::MetadataDocumentsConfig;

/// Time for the whole fetch, from resolving the name to the last byte.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a document could not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The name leads to an address that is not public.
    #[error("its host has an address that is not public")]
    Address,
    /// The name does not resolve, or nothing answers there.
    #[error("its host cannot be reached")]
    Connect,
    /// Not complete in time.
    #[error("it was not complete within {} s", FETCH_TIMEOUT.as_secs())]
    TimedOut,
    /// A redirect.
    #[error("its host answered with a redirect, which is not followed")]
    Redirect,
    /// Another status than 200.
    #[error("its host answered with status {0}")]
    Status(u16),
    /// Not `application/json`, or with a content coding.
    #[error("it is not plain application/json")]
    NotJson,
    /// Longer than the cap.
    #[error("it is too long")]
    TooLong,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
}

impl FetchError {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Connect => "connect",
            Self::TimedOut => "timed_out",
            Self::Redirect => "redirect",
            Self::Status(_) => "status",
            Self::NotJson => "not_json",
            Self::TooLong => "too_long",
            Self::Broken => "broken",
        }
    }
}

/// Resolves names; tests have their own.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of `host`.
    ///
    /// # Errors
    /// If the name does not resolve.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A document that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub body: Vec<u8>,
    /// How long it is fresh, within our own bounds.
    pub fresh_for: Duration,
}

/// The HTTP client for documents could not be created.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for clients' metadata documents cannot be created: {0}")]
pub struct FetcherUnusable(reqwest::Error);

/// Fetches documents.
#[derive(Debug, Clone)]
pub struct Fetcher {
    http: reqwest::Client,
    /// Whether addresses that are not public are accepted.
    any_address: bool,
}

impl Fetcher {
    /// A fetcher that resolves names with `resolver`. With an egress proxy the proxy resolves them, and decides where it
    /// connects to.
    ///
    /// # Errors
    /// [`FetcherUnusable`].
    pub fn new(
        config: &MetadataDocumentsConfig,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, FetcherUnusable> {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // A connection that is reused leads to an address that was checked long ago.
            .pool_max_idle_per_host(0)
            .timeout(FETCH_TIMEOUT)
            .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")));
        let builder = match &config.egress_proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(FetcherUnusable)?),
            None => builder.no_proxy().dns_resolver(Arc::new(PublicOnly {
                resolver,
                any_address: config.allow_private_addresses,
            })),
        };
        Ok(Self {
            http: builder.build().map_err(FetcherUnusable)?,
            any_address: config.allow_private_addresses,
        })
    }

    /// Gets the document at `url`, of at most `max_bytes`.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(&self, url: &Url, max_bytes: usize) -> Result<Fetched, FetchError> {
        // An address in the URL is not resolved.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        if literal.is_some_and(|address| !self.any_address && !is_public(address)) {
            return Err(FetchError::Address);
        }
        let request = self
            .http
            .get(url.clone())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity");
        let response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect);
        }
        if status.as_u16() != 200 {
            return Err(FetchError::Status(status.as_u16()));
        }
        if !is_plain_json(response.headers()) {
            return Err(FetchError::NotJson);
        }
        let fresh_for = fresh_for(response.headers());
        let body = read(response, max_bytes).await?;
        Ok(Fetched { body, fresh_for })
    }
}

async fn read(mut response: reqwest::Response, max_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let stated = response.content_length();
    if stated.is_some_and(|stated| usize::try_from(stated).is_ok_and(|stated| stated > max_bytes)) {
        return Err(FetchError::TooLong);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > max_bytes {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `application/json`, or a type that ends in `+json`, without a content coding: nothing is decompressed.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default().split(';').next().unwrap_or_default();
    let media = media.trim().to_ascii_lowercase();
    let is_json =
        media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"));
    let coding = headers
        .get(CONTENT_ENCODING)
        .map(reqwest::header::HeaderValue::as_bytes);
    is_json && coding.is_none_or(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

fn failed(error: &reqwest::Error) -> FetchError {
    let mut source = StdError::source(error);
    while let Some(cause) = source {
        if cause.is::<NotPublic>() {
            return FetchError::Address;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        FetchError::TimedOut
    } else if error.is_connect() {
        FetchError::Connect
    } else {
        FetchError::Broken
    }
}

/// A name leads to an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("an address that is not public")]
struct NotPublic;

/// Resolves a name once for each connection and returns what was checked: the connection goes to one of these addresses, so
/// a second answer of the name's server changes nothing.
#[derive(Debug)]
struct PublicOnly {
    resolver: Arc<dyn Resolver>,
    any_address: bool,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, any_address) = (Arc::clone(&self.resolver), self.any_address);
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            // One private address among public ones is no mistake of a public site.
            if !any_address && !addresses.iter().copied().all(is_public) {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}
