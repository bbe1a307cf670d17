//! OpenID Connect Discovery 1.0: the addresses of an issuer's endpoints and keys.

mod reread;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokenward_protocol::duration::whole_ms;
use url::Url;

pub(super) use self::reread::is_no_endpoint;
use self::reread::{EarlyRereads, due_ms};
use super::answer::RawAnswer;
use super::loggable::loggable;
use crate::config::ClientAuth;
use crate::config::endpoint::{is_local, parse_endpoint, parse_issuer};
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, SingleFlight};

/// How long a failure is cached, so that not every caller fetches from an issuer that fails. No caller is sent away for less
/// (`Retry-After` is in whole seconds).
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// The longest that a failure is cached because of the issuer's `Retry-After`.
const LONGEST_FAILURE_LIFETIME: Duration = Duration::from_secs(60);
/// What a fetch may take beyond the client's own timeout.
const FETCH_SLACK: Duration = Duration::from_secs(5);

/// An issuer's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// The authorization endpoint, if it can be used.
    pub authorization_endpoint: Option<Url>,
    /// Whether every authorization response has `iss` (RFC 9207 §3).
    pub sends_issuer: bool,
    /// The token endpoint.
    pub token_endpoint: Url,
    /// The key set.
    pub jwks_uri: Url,
    /// The introspection endpoint (RFC 7662), if there is one.
    pub introspection_endpoint: Option<Url>,
    /// The revocation endpoint (RFC 7009), if there is one.
    pub revocation_endpoint: Option<Url>,
    /// Where a session of the issuer is ended (OpenID Connect RP-Initiated Logout §2.1), if there is such an endpoint.
    pub end_session_endpoint: Option<Url>,
    /// The client authentication method for these endpoints.
    pub client_auth: ClientAuth,
}

/// Why discovery has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryFailed {
    /// Waiting may help.
    #[error("discovery failed: {cause}")]
    Unavailable {
        /// The cause, for logs and messages.
        cause: String,
        /// The rest of the issuer's `Retry-After`.
        retry_after: Option<Duration>,
        /// Whether a fetch was made for this result; else the failure comes from the cache.
        is_new: bool,
    },
    /// An operator must act.
    #[error("the discovery document is not usable: {0}")]
    Unusable(String),
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Option<Value>,
    authorization_response_iss_parameter_supported: Option<Value>,
    token_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: Option<String>,
    revocation_endpoint: Option<Value>,
    end_session_endpoint: Option<Value>,
    token_endpoint_auth_methods_supported: Option<Value>,
}

/// The endpoints of one issuer: from the configuration, completed by discovery when first needed.
#[derive(Debug)]
pub struct Discovery {
    issuer: String,
    token_endpoint: Option<Url>,
    jwks_uri: Option<Url>,
    state: Mutex<State>,
    fetches: SingleFlight<Result<Endpoints, DiscoveryFailed>>,
}

#[derive(Debug, Default)]
struct State {
    found: Option<Endpoints>,
    failed: Option<CachedFailure>,
    /// When the document is due to be reread, Unix ms.
    due_ms: u64,
    early_rereads: EarlyRereads,
}

/// A failure that is cached for a while.
#[derive(Debug)]
struct CachedFailure {
    since_ms: u64,
    until_ms: u64,
    why: DiscoveryFailed,
    /// Whether it was recorded as a failed call of the issuer.
    counted: bool,
}

impl Discovery {
    /// With the configured addresses; discovery finds those that are `None`.
    #[must_use]
    pub fn new(issuer: String, token_endpoint: Option<Url>, jwks_uri: Option<Url>) -> Self {
        Self {
            issuer,
            token_endpoint,
            jwks_uri,
            state: Mutex::default(),
            fetches: SingleFlight::default(),
        }
    }

    /// The token endpoint.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn token_endpoint(self: &Arc<Self>, context: &Context) -> Result<Url, DiscoveryFailed> {
        match &self.token_endpoint {
            Some(url) => Ok(url.clone()),
            None => Ok(self.endpoints(context).await?.token_endpoint),
        }
    }

    /// The address of the key set.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn jwks_uri(self: &Arc<Self>, context: &Context) -> Result<Url, DiscoveryFailed> {
        match &self.jwks_uri {
            Some(url) => Ok(url.clone()),
            None => Ok(self.endpoints(context).await?.jwks_uri),
        }
    }

    /// The authorization endpoint, if the document has one that can be used.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn authorization_endpoint(
        self: &Arc<Self>,
        context: &Context,
    ) -> Result<Option<Url>, DiscoveryFailed> {
        Ok(self.endpoints(context).await?.authorization_endpoint)
    }

    /// Whether every authorization response of the issuer has `iss` (RFC 9207 §3). `false` while the document was not read.
    #[must_use]
    pub fn sends_issuer(&self) -> bool {
        self.lock().found.as_ref().is_some_and(|found| found.sends_issuer)
    }

    /// The introspection endpoint, if the issuer has one.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn introspection_endpoint(
        self: &Arc<Self>,
        context: &Context,
    ) -> Result<Option<Url>, DiscoveryFailed> {
        Ok(self.endpoints(context).await?.introspection_endpoint)
    }

    /// The revocation endpoint, if the issuer has one.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn revocation_endpoint(
        self: &Arc<Self>,
        context: &Context,
    ) -> Result<Option<Url>, DiscoveryFailed> {
        Ok(self.endpoints(context).await?.revocation_endpoint)
    }

    /// Where a session of the issuer is ended, if the issuer has such an endpoint.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn end_session_endpoint(
        self: &Arc<Self>,
        context: &Context,
    ) -> Result<Option<Url>, DiscoveryFailed> {
        Ok(self.endpoints(context).await?.end_session_endpoint)
    }

    /// Fetches the document unless it was read already.
    ///
    /// # Errors
    /// [`DiscoveryFailed`].
    pub async fn ensure_read(self: &Arc<Self>, context: &Context) -> Result<(), DiscoveryFailed> {
        self.endpoints(context).await.map(drop)
    }

    /// The client authentication method of the document if it was read, else the default. Never fetches.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        let state = self.lock();
        state
            .found
            .as_ref()
            .map_or(ClientAuth::Basic, |found| found.client_auth)
    }

    /// Whether the newest failure is still to be recorded as a failed call: `true` for the first caller only.
    pub(super) fn take_uncounted_failure(&self) -> bool {
        let mut state = self.lock();
        (state.failed.as_mut()).is_some_and(|failed| !std::mem::replace(&mut failed.counted, true))
    }

    /// The endpoints. Concurrent callers share one fetch and its result.
    async fn endpoints(self: &Arc<Self>, context: &Context) -> Result<Endpoints, DiscoveryFailed> {
        if let Some(known) = self.cached(context.clock.now_ms()) {
            if known.is_ok() {
                self.reread_when_due(context);
            }
            return known;
        }
        let longest = context.client.timeout() + FETCH_SLACK;
        let fetch = self.fetches.join("", longest, |_| {
            let (discovery, context) = (Arc::clone(self), context.clone());
            async move { discovery.fetch_once(&context).await }
        });
        match fetch.await {
            FlightOutcome::Done(found) => found,
            FlightOutcome::Deadline(_) | FlightOutcome::Lost => {
                Err(unavailable("it did not end in time", None))
            }
        }
    }

    /// A result that needs no fetch.
    fn cached(&self, now_ms: u64) -> Option<Result<Endpoints, DiscoveryFailed>> {
        let state = self.lock();
        if let Some(endpoints) = &state.found {
            return Some(Ok(endpoints.clone()));
        }
        let failed = state.failed.as_ref()?;
        // A clock that was set back must not extend it.
        (failed.since_ms..failed.until_ms).contains(&now_ms).then(|| {
            Err(match &failed.why {
                DiscoveryFailed::Unavailable {
                    cause, retry_after, ..
                } => DiscoveryFailed::Unavailable {
                    cause: cause.clone(),
                    retry_after: retry_after.map(|_| Duration::from_millis(failed.until_ms - now_ms)),
                    is_new: false,
                },
                unusable @ DiscoveryFailed::Unusable(_) => unusable.clone(),
            })
        })
    }

    async fn fetch_once(&self, context: &Context) -> Result<Endpoints, DiscoveryFailed> {
        // Another fetch may have ended since the cache was read.
        if let Some(known) = self.cached(context.clock.now_ms()) {
            return known;
        }
        let fetched = self.fetch(context).await;
        let mut state = self.lock();
        match &fetched {
            Ok(endpoints) => {
                state.found = Some(endpoints.clone());
                state.due_ms = due_ms(context.clock.now_ms());
            }
            Err(why) => {
                let since_ms = context.clock.now_ms();
                let lifetime = match why {
                    DiscoveryFailed::Unavailable {
                        retry_after: Some(retry_after),
                        ..
                    } => (*retry_after).clamp(FAILURE_LIFETIME, LONGEST_FAILURE_LIFETIME),
                    _ => FAILURE_LIFETIME,
                };
                state.failed = Some(CachedFailure {
                    since_ms,
                    until_ms: since_ms.saturating_add(whole_ms(lifetime)),
                    why: why.clone(),
                    counted: false,
                });
            }
        }
        fetched
    }

    async fn fetch(&self, context: &Context) -> Result<Endpoints, DiscoveryFailed> {
        let address = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let url = Url::parse(&address)
            .map_err(|_| DiscoveryFailed::Unusable("the issuer is not a URL".to_owned()))?;
        match context.client.get(&url).await {
            Ok(answer) => read_answer(&self.issuer, &answer),
            Err(failed) => Err(unavailable(&failed.to_string(), None)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement, so a panic while the lock is held cannot corrupt it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unavailable(cause: &str, retry_after: Option<Duration>) -> DiscoveryFailed {
    DiscoveryFailed::Unavailable {
        cause: cause.to_owned(),
        retry_after,
        is_new: true,
    }
}

fn read_answer(issuer: &str, answer: &RawAnswer) -> Result<Endpoints, DiscoveryFailed> {
    let cause = || format!("status {}", answer.status);
    match answer.status {
        200 => read_document(issuer, &answer.body),
        429 | 500.. => Err(unavailable(&cause(), answer.retry_after)),
        _ => Err(DiscoveryFailed::Unusable(cause())),
    }
}

/// Reads a discovery document of `issuer`.
///
/// # Errors
/// [`DiscoveryFailed::Unusable`] for another issuer (OIDC Discovery §4.3: exactly the same, a trailing slash included), for
/// an endpoint that is not https, and for one on the loopback when the issuer is not.
pub fn read_document(issuer: &str, body: &[u8]) -> Result<Endpoints, DiscoveryFailed> {
    let unusable = |cause: &str| DiscoveryFailed::Unusable(cause.to_owned());
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let document: Document =
        serde_json::from_slice(body).map_err(|_| unusable("it is not the JSON of RFC 8414"))?;
    if document.issuer != issuer {
        return Err(unusable(&format!(
            "it names another issuer, {}; the configured issuer must be byte for byte the same",
            loggable(&document.issuer)
        )));
    }
    let local = parse_issuer(issuer).is_ok_and(|url| is_local(&url));
    let endpoint = |name: &str, text: &str| match parse_endpoint(text) {
        Ok(url) if local || !is_local(&url) => Ok(url),
        Ok(_) => Err(unusable(&format!("its {name} is on the loopback"))),
        Err(bad) => Err(unusable(&format!("its {name} {bad}"))),
    };
    Ok(Endpoints {
        // Needed for logins at our own authorization server only.
        authorization_endpoint: document
            .authorization_endpoint
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| endpoint("authorization_endpoint", text).ok()),
        sends_issuer: document.authorization_response_iss_parameter_supported == Some(Value::Bool(true)),
        token_endpoint: endpoint("token_endpoint", &document.token_endpoint)?,
        jwks_uri: endpoint("jwks_uri", &document.jwks_uri)?,
        // Rarely needed: a fault in these must not prevent a refresh.
        introspection_endpoint: document
            .introspection_endpoint
            .and_then(|text| endpoint("introspection_endpoint", &text).ok()),
        revocation_endpoint: document
            .revocation_endpoint
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| endpoint("revocation_endpoint", text).ok()),
        end_session_endpoint: document
            .end_session_endpoint
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|text| endpoint("end_session_endpoint", text).ok()),
        client_auth: client_auth(document.token_endpoint_auth_methods_supported.as_ref()),
    })
}

/// `client_secret_basic`, which is the default (OIDC Discovery §3), unless only `client_secret_post` is listed.
fn client_auth(methods: Option<&Value>) -> ClientAuth {
    let lists = |method: &str| match methods {
        Some(Value::Array(methods)) => methods.iter().any(|listed| listed.as_str() == Some(method)),
        Some(Value::String(listed)) => listed == method,
        _ => false,
    };
    if lists("client_secret_post") && !lists("client_secret_basic") {
        ClientAuth::Post
    } else {
        ClientAuth::Basic
    }
}
