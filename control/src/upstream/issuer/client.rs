//! The HTTP client for issuers. Endpoints come from the configuration or from a checked discovery document. It follows no
//! redirect, uses no proxy of the environment, and reads no body beyond a cap.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::byte_serialize;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap,
};
use secrecy::{ExposeSecret, SecretString};
use tracing::Instrument as _;
use url::Url;

use super::answer::body::decode;
use super::answer::{RawAnswer, Transient};
use super::client_assertion::{ASSERTION_TYPE, Assertion, ClientKey};
use super::key_set::CacheTime;
use super::loop_marker::LoopMarker;
use super::retry_after::{retry_after, retry_after_limit};
use crate::config::ClientAuth;
use crate::observe::trace;
use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::rules::AssertionAudience;
use crate::upstream::streak::StreakKind;

/// The longest document that is read: a key set of some hundred keys.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// The longest response to a form that is read. A token response with thousands of groups is longer than a document; of a
/// longer one, the beginning is read.
pub(crate) const MAX_RESPONSE_BYTES: usize = 4 * 1024 * 1024;
/// The time to connect; only a peer that does not answer at all takes this long.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no response. The issuer may have received the request nevertheless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// No connection.
    #[error("no connection")]
    Connect,
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The body is larger than any plausible document.
    #[error("the document is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The connection ended before the request was written to it.
    #[error("the connection ended before the request was sent")]
    NotSent,
}

impl From<CallFailed> for Transient {
    fn from(failed: CallFailed) -> Self {
        Self {
            kind: StreakKind::Unreachable,
            retry_after: None,
            cause: failed.to_string(),
            perhaps_done: !matches!(failed, CallFailed::Connect | CallFailed::NotSent),
        }
    }
}

/// Why the client could not be created.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for issuers cannot be created: {0}")]
pub struct ClientUnusable(Box<dyn std::error::Error + Send + Sync>);

impl From<reqwest::Error> for ClientUnusable {
    fn from(error: reqwest::Error) -> Self {
        Self(Box::new(error))
    }
}

impl ClientUnusable {
    /// TLS cannot be set up.
    pub(super) fn tls(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// The one HTTP client for all issuers.
#[derive(Debug, Clone)]
pub struct IssuerClient {
    http: reqwest::Client,
    /// Without a pool, for [`Connection::Fresh`].
    unpooled: reqwest::Client,
    timeout: Duration,
}

/// A client's id and secret at one issuer.
#[derive(Debug, Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// `client_id`.
    pub id: &'a str,
    /// Its secret, or with `private_key_jwt` its private key in PEM.
    pub secret: &'a SecretString,
    /// The authentication method that the issuer accepts.
    pub auth: ClientAuth,
    /// The issuer, whose kind decides what an assertion looks like.
    pub issuer: &'a str,
    /// Its kind.
    pub dialect: Dialect,
    /// The present, Unix ms.
    pub now_ms: u64,
}

impl ClientCredentials<'_> {
    /// A new assertion for a request to `endpoint`; `None` if the key cannot sign.
    fn assertion(&self, endpoint: &Url) -> Option<SecretString> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).ok()?;
        let with_pss = self.dialect.signs_assertions_with_pss();
        ClientKey::read(self.secret).ok()?.sign(&Assertion {
            client_id: self.id,
            audience: match self.dialect.assertion_audience() {
                AssertionAudience::Issuer => self.issuer,
                AssertionAudience::TokenEndpoint => endpoint.as_str(),
            },
            now_ms: self.now_ms,
            id: &URL_SAFE_NO_PAD.encode(id),
            with_pss,
        })
    }
}

/// The connection of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// A connection of the pool, if there is one.
    Pooled,
    /// A connection for this call alone. The peer may close an idle connection of the pool at the moment of its next use,
    /// and then it is unknown whether the request arrived: not for a token that must not be presented twice.
    Fresh,
}

/// How a form is sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    connection: Connection,
    marker: Option<&'a LoopMarker>,
}

impl From<Connection> for Sending<'_> {
    fn from(connection: Connection) -> Self {
        Self {
            connection,
            marker: None,
        }
    }
}

impl<'a> Sending<'a> {
    /// The same with the mark of a relayed issuer.
    #[must_use]
    pub(super) fn marked(self, marker: Option<&'a LoopMarker>) -> Self {
        Self { marker, ..self }
    }
}

impl IssuerClient {
    /// A client whose calls, from connecting to the last byte, may take `timeout`.
    ///
    /// # Errors
    /// [`ClientUnusable`] when TLS cannot be set up.
    pub fn new(timeout: Duration) -> Result<Self, ClientUnusable> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                // The caller decides whether and when a request is sent again.
                .retry(reqwest::retry::never())
                .no_proxy()
                .timeout(timeout)
                // Shorter than the whole call: which of the two timeouts passed decides whether anything was presented.
                .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
                .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            http: builder().build()?,
            unpooled: builder().http1_only().pool_max_idle_per_host(0).build()?,
            timeout,
        })
    }

    /// How long one call may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts a form with the client's credentials (RFC 6749 §2.3.1). A response with an incomplete or too long body is
    /// returned as well: its beginning may hold a new refresh token.
    ///
    /// # Errors
    /// [`CallFailed`] if no response began.
    pub async fn post_form(
        &self,
        endpoint: &Url,
        credentials: ClientCredentials<'_>,
        form: &[(&str, &str)],
        sending: impl Into<Sending<'_>>,
    ) -> Result<RawAnswer, CallFailed> {
        let sending = sending.into();
        let client = match sending.connection {
            Connection::Pooled => &self.http,
            Connection::Fresh => &self.unpooled,
        };
        let mut mark = HeaderMap::new();
        if let Some(marker) = sending.marker {
            marker.add_to(&mut mark);
        }
        let request = form_of_client(client.post(endpoint.clone()), endpoint, credentials, form)
            .ok_or(CallFailed::NotSent)?
            .headers(mark);
        let span = trace::issuer_call("POST", endpoint);
        let (answer, _) = answer(request, MAX_RESPONSE_BYTES).instrument(span).await?;
        Ok(answer)
    }

    /// Gets a public document (discovery).
    ///
    /// # Errors
    /// [`CallFailed`] without a complete response.
    pub async fn get(&self, url: &Url) -> Result<RawAnswer, CallFailed> {
        Ok(self.get_current(url).await?.0)
    }

    /// Gets the current version of a public document: the request has caches revalidate theirs (RFC 9111 §5.2.1.4). Returns
    /// also the response's cache headers, for caches that do not.
    ///
    /// # Errors
    /// [`CallFailed`] without a complete response.
    pub async fn get_current(&self, url: &Url) -> Result<(RawAnswer, CacheTime), CallFailed> {
        let request = self.http.get(url.clone()).header(CACHE_CONTROL, "no-cache");
        let response = sent(request).instrument(trace::issuer_call("GET", url)).await?;
        let cache = CacheTime::read(response.headers());
        match read(response, MAX_DOCUMENT_BYTES).await {
            (_, Some(cut)) => Err(cut),
            (answer, None) => Ok((answer, cache)),
        }
    }
}

/// `request` to `endpoint` with `form`, and the client's credentials in the header or in the form, never in both (RFC 6749
/// §2.3). `None` if they cannot be a header value, or cannot sign.
pub(crate) fn form_of_client(
    request: reqwest::RequestBuilder,
    endpoint: &Url,
    credentials: ClientCredentials<'_>,
    form: &[(&str, &str)],
) -> Option<reqwest::RequestBuilder> {
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let request = match credentials.auth {
        ClientAuth::Basic => {
            let mut authorization = reqwest::header::HeaderValue::from_str(&basic(credentials)).ok()?;
            authorization.set_sensitive(true);
            request.header(AUTHORIZATION, authorization)
        }
        ClientAuth::Post => {
            body.append_pair("client_id", credentials.id)
                .append_pair("client_secret", credentials.secret.expose_secret());
            request
        }
        ClientAuth::PrivateKeyJwt => {
            let assertion = credentials.assertion(endpoint)?;
            body.append_pair("client_id", credentials.id)
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", assertion.expose_secret());
            request
        }
    };
    Some(request.body(body.finish()))
}

/// `Basic` with id and secret form-encoded **before** base64, as RFC 6749 §2.3.1 and Dex require. Most HTTP clients omit
/// that, so that a `+` in a secret arrives as a space.
#[must_use]
pub fn basic(credentials: ClientCredentials<'_>) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!(
        "{}:{}",
        encoded(credentials.id),
        encoded(credentials.secret.expose_secret())
    );
    format!("Basic {}", STANDARD.encode(pair))
}

/// The response, and the failure that cut its body off.
async fn answer(
    request: reqwest::RequestBuilder,
    longest: usize,
) -> Result<(RawAnswer, Option<CallFailed>), CallFailed> {
    Ok(read(sent(request).await?, longest).await)
}

async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, CallFailed> {
    let mut traced = HeaderMap::new();
    trace::hand_on(&mut traced);
    let request = request
        .headers(traced)
        .header(ACCEPT, "application/json")
        // Some issuers compress for every client that does not send this.
        .header(ACCEPT_ENCODING, "identity");
    request.send().await.map_err(|error| failed(&error))
}

async fn read(mut response: reqwest::Response, longest: usize) -> (RawAnswer, Option<CallFailed>) {
    let status = response.status().as_u16();
    let (headers, now) = (response.headers(), SystemTime::now());
    let retry_after = match status {
        429 => retry_after_limit(headers, now),
        _ => retry_after(headers, now),
    };
    let encoding = response.headers().get(CONTENT_ENCODING);
    let encoding = encoding.and_then(|name| name.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > longest => {
                body.extend_from_slice(chunk.get(..longest - body.len()).unwrap_or_default());
                break Some(CallFailed::TooLarge);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break None,
            Err(error) => break Some(failed(&error)),
        }
    };
    let answer = RawAnswer {
        status,
        retry_after,
        body: decode(encoding.as_deref(), body, longest),
        cut: cut.is_some(),
    };
    (answer, cut)
}

fn failed(error: &reqwest::Error) -> CallFailed {
    // A connect timeout is both; nothing was sent then.
    if error.is_connect() {
        CallFailed::Connect
    } else if error.is_timeout() {
        CallFailed::TimedOut
    } else if was_not_sent(error) {
        CallFailed::NotSent
    } else {
        CallFailed::Broken
    }
}

/// Whether hyper reports the request as not sent: the connection ended before it was written.
fn was_not_sent(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
            return hyper.is_canceled();
        }
        source = cause.source();
    }
    false
}
