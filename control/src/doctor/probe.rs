//! Requests to issuers without side effects: documents, and token requests without a token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{ACCEPT, DATE, HeaderMap, HeaderName};
use serde_json::Value;
use tokenward_protocol::token_endpoint::MARKER_HEADER;
use url::Url;

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
pub(super) struct Prober(reqwest::Client);

impl Prober {
    pub(super) fn new(timeout: Duration) -> reqwest::Result<Self> {
        Self::through(None, timeout)
    }

    /// A client that calls through `proxy`; directly without one.
    pub(super) fn through(proxy: Option<&Url>, timeout: Duration) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")));
        let client = match proxy {
            Some(proxy) => client.proxy(reqwest::Proxy::all(proxy.as_str())?),
            None => client,
        };
        Ok(Self(client.build()?))
    }

    pub(super) async fn get(&self, url: &Url) -> Result<ProbeAnswer, String> {
        self.send(self.0.get(url.clone()).header(ACCEPT, "application/json"))
            .await
    }

    /// Sends a token request of `grant_type` with the client's credentials and no token: no grant is affected, and the issuer
    /// authenticates the client before it checks the parameters.
    pub(super) async fn empty_token_request(
        &self,
        endpoint: &Url,
        credentials: ClientCredentials<'_>,
        grant_type: &str,
    ) -> Result<ProbeAnswer, String> {
        let request = form_of_client(
            self.0.post(endpoint.clone()),
            credentials,
            &[("grant_type", grant_type)],
        )
        .ok_or("the credentials cannot be sent in a header")?;
        self.send(request).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<ProbeAnswer, String> {
        let started = tokio::time::Instant::now();
        let mut response = request.send().await.map_err(|error| cause(&error).to_owned())?;
        let status = response.status().as_u16();
        let clock_ahead_seconds = clock_ahead_seconds(response.headers());
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error).to_owned())? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(format!("the response is larger than {MAX_BODY_BYTES} bytes"));
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

/// reqwest's own messages contain the whole URL; these do not repeat it.
fn cause(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no response in time"
    } else if error.is_connect() {
        "no connection (name, port, network policy or certificate)"
    } else {
        "the connection broke"
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
