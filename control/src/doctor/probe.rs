//! Requests to issuers without side effects: documents, and token requests without a token.

mod failure;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderName};
use serde_json::Value;
use tokenward_protocol::token_endpoint::MARKER_HEADER;
use url::Url;

pub(super) use self::failure::ProbeFailure;

use crate::upstream::dialect::Dialect;
use crate::upstream::issuer::answer::members::Members;
use crate::upstream::issuer::answer::{RawAnswer, RefreshAnswer, read_refresh};
use crate::upstream::issuer::client::{ClientCredentials, form_of_client};

/// Longest response body that is accepted.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The parts of a response that the doctor uses.
pub(super) struct ProbeAnswer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// Difference of the issuer's clock (`Date`) to this one in whole seconds; positive if the issuer's is ahead.
    pub(super) clock_ahead_seconds: Option<i64>,
    pub(super) took: Duration,
    /// Whether a control service answered.
    pub(super) is_marked: bool,
    pub(super) headers: HeaderMap,
}

impl ProbeAnswer {
    /// The OAuth error code, where the body holds one.
    pub(super) fn oauth_error(&self) -> Option<String> {
        let members = Members::read(&self.body, &["error"]);
        let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        Some(members.text("error")?.chars().filter(plain).take(40).collect())
    }

    /// Whether the issuer issued tokens although the request contained none.
    pub(super) fn has_tokens(&self, dialect: Dialect) -> bool {
        matches!(
            read_refresh(&self.raw(), dialect),
            RefreshAnswer::Refreshed { .. }
        )
    }

    /// A header, where it is there and readable.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The response for the parsers of issuers' answers.
    pub(super) fn raw(&self) -> RawAnswer {
        RawAnswer {
            status: self.status,
            body: self.body.clone(),
            ..RawAnswer::default()
        }
    }
}

/// The doctor's HTTP client: as strict as the service's (no redirect, no proxy), without retries.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    client: reqwest::Client,
    proxy: Option<Url>,
    connect_timeout: Duration,
    timeout: Duration,
}

impl Prober {
    pub(super) fn new(timeout: Duration) -> reqwest::Result<Self> {
        Self::through(None, timeout)
    }

    /// A client that calls through `proxy`; directly without one.
    pub(super) fn through(proxy: Option<&Url>, timeout: Duration) -> reqwest::Result<Self> {
        // Half of it, so that dropped packets differ from a service that does not answer.
        let connect_timeout = timeout / 2;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")));
        let client = match proxy {
            Some(proxy) => client.proxy(reqwest::Proxy::all(proxy.as_str())?),
            None => client,
        };
        Ok(Self {
            client: client.build()?,
            proxy: proxy.cloned(),
            connect_timeout,
            timeout,
        })
    }

    pub(super) async fn get(&self, url: &Url) -> Result<ProbeAnswer, ProbeFailure> {
        self.get_with(url, |request| request).await
    }

    /// [`Prober::get`] with what `more` adds to the request.
    pub(super) async fn get_with(
        &self,
        url: &Url,
        more: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<ProbeAnswer, ProbeFailure> {
        let request = self.client.get(url.clone()).header(ACCEPT, "application/json");
        self.send(more(request), MAX_BODY_BYTES).await
    }

    /// [`Prober::get`] of a document of at most `most` bytes.
    pub(super) async fn get_long(&self, url: &Url, most: usize) -> Result<ProbeAnswer, ProbeFailure> {
        self.send(self.client.get(url.clone()), most).await
    }

    /// Sends a token request of `grant_type` with the client's credentials and no token: no grant is affected, and the issuer
    /// authenticates the client before it checks the parameters.
    pub(super) async fn empty_token_request(
        &self,
        endpoint: &Url,
        credentials: ClientCredentials<'_>,
        grant_type: &str,
    ) -> Result<ProbeAnswer, ProbeFailure> {
        self.form(endpoint, credentials, &[("grant_type", grant_type)])
            .await
    }

    /// Posts a form with the client's credentials.
    pub(super) async fn form(
        &self,
        endpoint: &Url,
        credentials: ClientCredentials<'_>,
        form: &[(&str, &str)],
    ) -> Result<ProbeAnswer, ProbeFailure> {
        let request = form_of_client(self.client.post(endpoint.clone()), endpoint, credentials, form)
            .ok_or(ProbeFailure::Credentials)?;
        self.send(request, MAX_BODY_BYTES).await
    }

    async fn send(&self, request: RequestBuilder, most: usize) -> Result<ProbeAnswer, ProbeFailure> {
        let started = tokio::time::Instant::now();
        let request = request.build().map_err(|_| ProbeFailure::Credentials)?;
        let url = request.url().clone();
        let connected_to = self.proxy.as_ref().unwrap_or(&url);
        let failed = |error: reqwest::Error| {
            ProbeFailure::of(&error, (&url, connected_to), (self.connect_timeout, self.timeout))
        };
        let mut response = match self.client.execute(request).await.map_err(failed) {
            Ok(response) => response,
            Err(ProbeFailure::Dropped { .. }) if !self.has_address(connected_to).await => {
                return Err(ProbeFailure::no_address(connected_to));
            }
            Err(failure) => return Err(failure),
        };
        let status = response.status().as_u16();
        let clock_ahead_seconds = clock_ahead_seconds(response.headers());
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > most {
                return Err(ProbeFailure::TooLarge { most });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(ProbeAnswer {
            status,
            body,
            clock_ahead_seconds,
            took: started.elapsed(),
            is_marked: headers.contains_key(MARKER_HEADER),
            headers,
        })
    }
}

impl Prober {
    /// Whether the host has an address: a name server that does not answer takes as long as dropped packets.
    async fn has_address(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let found = tokio::net::lookup_host((host.trim_matches(['[', ']']), port));
        match tokio::time::timeout(self.connect_timeout, found).await {
            Ok(Ok(mut found)) => found.next().is_some(),
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

fn clock_ahead_seconds(headers: &HeaderMap) -> Option<i64> {
    let theirs = http_date_seconds(headers.get(DATE)?.to_str().ok()?)?;
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(theirs - ours.cast_signed())
}

/// Parses a date such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7) to Unix seconds.
fn http_date_seconds(text: &str) -> Option<i64> {
    let moment = httpdate::parse_http_date(text).ok()?;
    moment.duration_since(UNIX_EPOCH).ok()?.as_secs().try_into().ok()
}

#[cfg(test)]
mod tests;
