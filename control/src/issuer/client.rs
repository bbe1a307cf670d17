//! Calls to issuers. Endpoints come from the configuration or from a checked discovery document; no redirect is
//! followed, no proxy of the environment is used, and no body is read past a cap.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::byte_serialize;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::answer::{RawAnswer, Transient};
use super::asked::asked_wait;
use super::key_set::CacheTime;
use crate::streak::StreakKind;

/// Longest body that is read: a token answer with hundreds of groups, or 100 keys.
const LONGEST_BODY_BYTES: usize = 256 * 1024;
/// Only a peer that does not answer at all may take this long to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there was no answer. The request may have arrived all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailed {
    /// No connection.
    #[error("no connection")]
    Connect,
    /// No answer in time.
    #[error("no answer in time")]
    Late,
    /// The body is larger than anything that makes sense.
    #[error("the answer is larger than {LONGEST_BODY_BYTES} bytes")]
    TooLarge,
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
}

impl From<CallFailed> for Transient {
    fn from(failed: CallFailed) -> Self {
        Self {
            kind: StreakKind::Unreachable,
            retry_after: None,
            cause: failed.to_string(),
            perhaps_done: failed != CallFailed::Connect,
        }
    }
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for issuers could not be made: {0}")]
pub struct ClientUnusable(#[from] reqwest::Error);

/// The one HTTP client for all issuers.
#[derive(Debug, Clone)]
pub struct IssuerClient {
    http: reqwest::Client,
    timeout: Duration,
}

/// A client's name and secret at one issuer.
#[derive(Debug, Clone, Copy)]
pub struct ClientCredentials<'a> {
    /// `client_id`.
    pub id: &'a str,
    /// Its secret.
    pub secret: &'a SecretString,
}

impl IssuerClient {
    /// A client whose calls, from connecting to the last byte, may take `timeout`.
    ///
    /// # Errors
    /// [`ClientUnusable`] when TLS cannot be set up.
    pub fn new(timeout: Duration) -> Result<Self, ClientUnusable> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            // Never as long as the whole call: which of the two has passed decides whether anything was presented.
            .connect_timeout(CONNECT_TIMEOUT.min(timeout / 2))
            .user_agent(concat!("tokenward/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, timeout })
    }

    /// How long one call may take.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Posts a form with the client's credentials (RFC 6749 §2.3.1).
    ///
    /// # Errors
    /// [`CallFailed`] when no complete answer came.
    pub async fn post_form(
        &self,
        endpoint: &Url,
        credentials: ClientCredentials<'_>,
        form: &[(&str, &str)],
    ) -> Result<RawAnswer, CallFailed> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut authorization =
            reqwest::header::HeaderValue::from_str(&basic(credentials)).map_err(|_| CallFailed::Broken)?;
        authorization.set_sensitive(true);
        let request = self
            .http
            .post(endpoint.clone())
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body);
        answer(request).await
    }

    /// Gets a public document (discovery).
    ///
    /// # Errors
    /// [`CallFailed`] when no complete answer came.
    pub async fn get(&self, url: &Url) -> Result<RawAnswer, CallFailed> {
        Ok(self.get_current(url).await?.0)
    }

    /// Gets a public document as it is now: caches in between are asked to look whether theirs is (RFC 9111 §5.2.1.4);
    /// with what the answer says of caches that do not.
    ///
    /// # Errors
    /// [`CallFailed`] when no complete answer came.
    pub async fn get_current(&self, url: &Url) -> Result<(RawAnswer, CacheTime), CallFailed> {
        let request = self.http.get(url.clone()).header(ACCEPT, "application/json");
        let response = sent(request.header(CACHE_CONTROL, "no-cache")).await?;
        let cache = CacheTime::read(response.headers());
        Ok((read(response).await?, cache))
    }
}

/// `Basic` with id and secret form-encoded **before** base64, as RFC 6749 §2.3.1 and Dex want it. Most HTTP clients
/// leave that out, and a `+` in a secret then ends as a blank.
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

async fn answer(request: reqwest::RequestBuilder) -> Result<RawAnswer, CallFailed> {
    read(sent(request).await?).await
}

async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, CallFailed> {
    request.send().await.map_err(|error| failed(&error))
}

async fn read(mut response: reqwest::Response) -> Result<RawAnswer, CallFailed> {
    let status = response.status().as_u16();
    let retry_after = asked_wait(response.headers(), SystemTime::now());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > LONGEST_BODY_BYTES {
            return Err(CallFailed::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(RawAnswer {
        status,
        retry_after,
        body,
    })
}

fn failed(error: &reqwest::Error) -> CallFailed {
    // A connection that was not made in time is both; nothing was sent on it.
    if error.is_connect() {
        CallFailed::Connect
    } else if error.is_timeout() {
        CallFailed::Late
    } else {
        CallFailed::Broken
    }
}
