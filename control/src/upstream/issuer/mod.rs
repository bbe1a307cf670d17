//! What is said to and heard from an OpenID Connect issuer.
//!
//! [`answer`] is the table of what an answer means, [`client`] makes the calls, [`discovery`] finds the endpoints,
//! [`keys`] and [`verify`] check signatures, [`traffic`] says how much an issuer is asked.

pub mod answer;
pub mod breaker;
pub mod bucket;
pub mod client;
pub mod discovery;
pub mod introspection;
pub mod jwk;
pub mod key_set;
pub mod keys;
mod known_keys;
pub mod limits;
pub mod logout_token;
pub mod proven_tokens;
mod remembered_keys;
pub mod retry_after;
pub mod revocation;
pub mod token_type;
pub mod unverified;
pub mod verify;

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::token_endpoint::{GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_ID_TOKEN};
use tokio::time::Instant;
use url::Url;

use self::answer::{
    ExchangeAnswer, RawAnswer, RefreshAnswer, Transient, read_exchange, read_refresh, refuses_client,
};
use self::client::{CallFailed, ClientCredentials, Connection};
use self::discovery::{Discovery, DiscoveryFailed, is_elsewhere};
use self::keys::IssuerKeys;
use self::limits::{CallLimits, CallOutcome, Permit, Throttled};
use crate::config::{ClientAuth, ExchangeConfig, IssuerConfig, IssuerPolicy};
use crate::context::Context;
use crate::upstream::streak::StreakKind;

/// Leave to present one refresh token.
#[derive(Debug)]
pub struct CallPermit {
    endpoint: Url,
    pass: Permit,
}

/// Why there is no leave. Nothing was presented.
#[derive(Debug)]
pub enum NotPermitted {
    /// Too much traffic, or an issuer that fails everybody.
    Throttled(Throttled),
    /// The issuer's endpoints cannot be had.
    Transient(Transient),
    /// An operator must act.
    Misconfigured(String),
}

/// One issuer and client whose logins are kept.
#[derive(Debug)]
pub struct HomeIssuer {
    /// What is configured.
    pub config: IssuerConfig,
    /// Its keys; shared by all its clients.
    pub keys: Arc<IssuerKeys>,
    discovery: Arc<Discovery>,
    traffic: Arc<CallLimits>,
}

impl HomeIssuer {
    /// The issuer of `config`, with `keys` found through the same `discovery`, and the `traffic` of all its clients.
    #[must_use]
    pub fn new(
        config: IssuerConfig,
        discovery: Arc<Discovery>,
        keys: Arc<IssuerKeys>,
        traffic: Arc<CallLimits>,
    ) -> Self {
        Self {
            config,
            keys,
            discovery,
            traffic,
        }
    }

    /// [`CallLimits::left_alone`].
    #[must_use]
    pub fn left_alone(&self) -> Option<Throttled> {
        self.traffic.left_alone()
    }

    /// Finds the token endpoint and waits for leave to call it for the grant with this digest.
    ///
    /// # Errors
    /// [`NotPermitted`].
    pub async fn leave(&self, context: &Context, grant: &str) -> Result<CallPermit, NotPermitted> {
        let pass = self.traffic.pass(grant).await.map_err(NotPermitted::Throttled)?;
        match self.discovery.token_endpoint(context).await {
            Ok(endpoint) => Ok(CallPermit { endpoint, pass }),
            Err(DiscoveryFailed::Unusable(cause)) => {
                pass.heard(CallOutcome::Answer);
                Err(NotPermitted::Misconfigured(cause))
            }
            Err(failed) => Err(self.not_found(pass, &failed)),
        }
    }

    /// Who was told of a failure of a moment ago has asked the issuer nothing: it says nothing about the issuer's health.
    /// One that many waited for together is one failure.
    fn not_found(&self, pass: Permit, failed: &DiscoveryFailed) -> NotPermitted {
        let mut transient = unreachable(failed.to_string());
        if let DiscoveryFailed::Unavailable {
            retry_after, asked, ..
        } = failed
        {
            transient.retry_after = *retry_after;
            if *asked && self.discovery.counts() {
                pass.heard(CallOutcome::Failure { asked: *retry_after });
            }
        }
        NotPermitted::Transient(transient)
    }

    /// The client's credentials, as this issuer wants to see them.
    fn credentials(&self) -> ClientCredentials<'_> {
        ClientCredentials {
            id: &self.config.client_id,
            secret: &self.config.client_secret,
            auth: self
                .config
                .client_auth
                .unwrap_or_else(|| self.discovery.client_auth()),
        }
    }

    /// What must not come twice goes over a connection of its own.
    fn connection(&self) -> Connection {
        match self.config.policy {
            IssuerPolicy::Strict => Connection::Fresh,
            IssuerPolicy::Tolerant => Connection::Pooled,
        }
    }

    /// Presents `refresh_token` once.
    pub async fn refresh(
        &self,
        context: &Context,
        leave: CallPermit,
        refresh_token: &SecretString,
    ) -> RefreshAnswer {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
        ];
        let started = Instant::now();
        let raw = context
            .client
            .post_form(&leave.endpoint, self.credentials(), &form, self.connection())
            .await;
        let issuer = &self.config.issuer;
        context
            .metrics
            .issuer_request(issuer, "refresh", started.elapsed());
        if is_elsewhere(raw.as_ref()) {
            self.discovery.doubt(context);
        }
        let answer = match &raw {
            Ok(answer) => read_refresh(answer),
            Err(failed) => RefreshAnswer::Transient(failed.clone().into()),
        };
        context.metrics.issuer_answer(issuer, "refresh", answer.class());
        leave.pass.heard(match &answer {
            RefreshAnswer::Transient(passing) => passing.into(),
            _ => CallOutcome::Answer,
        });
        if self.config.client_auth.is_none() && raw.as_ref().is_ok_and(refuses_client) {
            // With a token_endpoint of the configuration the document may not have been read. The next attempt, which is
            // half a minute away, knows from it how this client has to authenticate itself.
            let (discovery, context) = (Arc::clone(&self.discovery), context.clone());
            tokio::spawn(async move { discovery.ensure_read(&context).await });
        }
        answer
    }
}

/// A remote issuer, as the exchange of one server sees it.
#[derive(Debug)]
pub struct RemoteIssuer {
    /// What is configured.
    pub config: ExchangeConfig,
    /// Its keys.
    pub keys: Arc<IssuerKeys>,
    traffic: Arc<CallLimits>,
    /// Read only when the remote refuses the client: it may want to see the secret elsewhere.
    discovery: Arc<Discovery>,
}

impl RemoteIssuer {
    /// The remote of `config`, verified with `keys`, with the `traffic` of all servers that it makes tokens for.
    #[must_use]
    pub fn new(config: ExchangeConfig, keys: Arc<IssuerKeys>, traffic: Arc<CallLimits>) -> Self {
        Self {
            discovery: Arc::new(Discovery::new(config.expected_issuer.clone(), None, None)),
            config,
            keys,
            traffic,
        }
    }

    /// [`CallLimits::left_alone`].
    #[must_use]
    pub fn left_alone(&self) -> Option<Throttled> {
        self.traffic.left_alone()
    }

    /// Exchanges `subject_token` of the grant with this digest (RFC 8693 §2.1, with Dex's `connector_id`).
    ///
    /// # Errors
    /// [`Throttled`]; nothing was asked.
    pub async fn exchange(
        &self,
        context: &Context,
        grant: &str,
        subject_token: &SecretString,
    ) -> Result<ExchangeAnswer, Throttled> {
        let pass = self.traffic.pass(grant).await?;
        let auth = self
            .config
            .client_auth
            .unwrap_or_else(|| self.discovery.client_auth());
        let mut raw = self.presented(context, subject_token, auth).await;
        // Nothing is used up by an exchange, so asking again in the way that the remote wants costs nothing.
        if self.config.client_auth.is_none()
            && auth == ClientAuth::Basic
            && raw.as_ref().is_ok_and(refuses_client)
            && self.discovery.ensure_read(context).await.is_ok()
            && self.discovery.client_auth() == ClientAuth::Post
        {
            raw = self.presented(context, subject_token, ClientAuth::Post).await;
        }
        let answer = match &raw {
            Ok(answer) => read_exchange(answer),
            Err(failed) => ExchangeAnswer::Transient(failed.clone().into()),
        };
        let issuer = &self.config.expected_issuer;
        context.metrics.issuer_answer(issuer, "exchange", answer.class());
        pass.heard(match &answer {
            // Dex answers 500 for a scope that it will never grant: that is one server's fault, not the issuer's.
            ExchangeAnswer::Transient(passing)
                if matches!(passing.kind, StreakKind::Unreachable | StreakKind::NotOauth) =>
            {
                passing.into()
            }
            _ => CallOutcome::Answer,
        });
        Ok(answer)
    }

    async fn presented(
        &self,
        context: &Context,
        subject_token: &SecretString,
        auth: ClientAuth,
    ) -> Result<RawAnswer, CallFailed> {
        let credentials = ClientCredentials {
            id: &self.config.client_id,
            secret: &self.config.client_secret,
            auth,
        };
        let form = [
            ("grant_type", GRANT_TYPE_TOKEN_EXCHANGE),
            ("connector_id", self.config.connector_id.as_str()),
            ("scope", self.config.scopes.as_str()),
            ("requested_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token_type", TOKEN_TYPE_ID_TOKEN),
            ("subject_token", subject_token.expose_secret()),
        ];
        let started = Instant::now();
        let answer = context
            .client
            .post_form(
                &self.config.token_endpoint,
                credentials,
                &form,
                Connection::Pooled,
            )
            .await;
        context
            .metrics
            .issuer_request(&self.config.expected_issuer, "exchange", started.elapsed());
        answer
    }
}

fn unreachable(cause: String) -> Transient {
    Transient {
        kind: StreakKind::Unreachable,
        retry_after: None,
        cause,
        perhaps_done: false,
    }
}
