//! Logins that a checked client makes through the relay: passed, and learned from the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::Request;
use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;

use super::account::Account;
use super::passed::PassedAnswer;
use super::{RelayEndpoint, Service};
use crate::config::RefreshTokens;
use crate::coordination::singleflight::FlightOutcome;
use crate::upstream::grant::record::{GrantKey, fingerprint};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::answer::response::TokenResponse;
use crate::upstream::issuer::client::CallFailed;
use crate::upstream::relay::RequestDigest;

/// The longest wait for a login that the same request has made; then the request is passed.
const LONGEST_LOOK_UP: Duration = Duration::from_secs(2);
/// The longest wait for a login to be learned ([`Relay::learn`](crate::upstream::relay::Relay::learn)), and some slack.
const LONGEST_LEARNING: Duration = Duration::from_secs(3);

/// A login that is passed to the issuer: `authorization_code`, `password` or `device_code` of a checked client.
#[derive(Clone)]
pub(crate) struct RelayedLogin {
    /// Where it arrived.
    pub(crate) endpoint: Arc<RelayEndpoint>,
    /// The client that makes it.
    pub(crate) home: Arc<HomeIssuer>,
    /// The request without its body: [`RelayEndpoint::outgoing`].
    pub(crate) head: Request<()>,
    /// The form.
    pub(crate) form: Bytes,
    /// Identifies the request if the issuer accepts it only once (`authorization_code`).
    pub(crate) digest: Option<RequestDigest>,
    /// Accounts for what is held.
    pub(crate) account: Arc<dyn Account>,
}

/// What the client of a [`RelayedLogin`] gets.
#[derive(Clone)]
pub(crate) enum LoginAnswer {
    /// The issuer's answer.
    Passed(Arc<PassedAnswer>),
    /// The newest tokens of the login that the same request has made before, as JSON.
    Repeated(Bytes),
    /// The issuer gave no answer.
    Failed(CallFailed),
}

impl LoginAnswer {
    /// Whether another client that sent the same request gets the same answer.
    fn is_shared(&self) -> bool {
        match self {
            Self::Passed(answer) => answer.has_tokens,
            Self::Repeated(_) => true,
            Self::Failed(_) => false,
        }
    }
}

impl Service {
    /// Passes `login` and learns from its answer. The call goes on if the client disconnects. A code is accepted once, so
    /// the same request, under way or made shortly before, is answered with the same login's tokens; if it brought none,
    /// each request is passed for itself.
    pub(crate) async fn relay_login(self: &Arc<Self>, login: RelayedLogin) -> LoginAnswer {
        let Some(digest) = &login.digest else {
            return self.pass_in_task(login).await;
        };
        let leads = Arc::new(AtomicBool::new(false));
        let patience = self.config.issuer_timeout * 2 + LONGEST_LOOK_UP + LONGEST_LEARNING;
        let flight = self.relay_edge.logins.join(digest.as_str(), patience, |_| {
            leads.store(true, Ordering::Relaxed);
            let (service, login) = (Arc::clone(self), login.clone());
            async move { service.repeat_or_pass(login).await }
        });
        match flight.await {
            FlightOutcome::Done(answer) if answer.is_shared() || leads.load(Ordering::Relaxed) => answer,
            FlightOutcome::Done(_) => self.pass_in_task(login).await,
            FlightOutcome::Deadline(_) | FlightOutcome::Lost => LoginAnswer::Failed(CallFailed::TimedOut),
        }
    }

    async fn repeat_or_pass(self: Arc<Self>, login: RelayedLogin) -> LoginAnswer {
        if let Some(digest) = &login.digest
            && let Ok(Some(tokens)) =
                tokio::time::timeout(LONGEST_LOOK_UP, self.relay.repeated(&login.home, digest)).await
        {
            return LoginAnswer::Repeated(tokens.to_json().into());
        }
        self.pass_login(login).await
    }

    /// [`Service::pass_login`] in a task of its own, which a client that disconnects does not end.
    async fn pass_in_task(self: &Arc<Self>, login: RelayedLogin) -> LoginAnswer {
        let passed = self.run_to_completion(|service| async move { Ok(service.pass_login(login).await) });
        passed.await.unwrap_or(LoginAnswer::Failed(CallFailed::Broken))
    }

    async fn pass_login(self: Arc<Self>, login: RelayedLogin) -> LoginAnswer {
        let patience = self.config.issuer_timeout;
        let request = login.head.clone().map(|()| Body::from(login.form.clone()));
        let passed = match self.pass(&login.endpoint, request, patience).await {
            Ok(response) => PassedAnswer::read(response, patience, &*login.account).await,
            Err(failed) => Err(failed),
        };
        match passed {
            Ok((answer, tokens)) => {
                if let Some(tokens) = tokens.filter(is_login) {
                    // Before the client gets its answer: it may present the refresh token at once.
                    let digest = login.digest.as_ref();
                    self.relay.learn(&login.home, &tokens, digest).await;
                    self.index_learned(&login.home, &tokens);
                }
                LoginAnswer::Passed(Arc::new(answer))
            }
            Err(failed) => LoginAnswer::Failed(failed),
        }
    }
}

impl Service {
    /// Indexes the login's user for the console; the client does not wait for it.
    fn index_learned(self: &Arc<Self>, home: &Arc<HomeIssuer>, tokens: &TokenResponse) {
        let Some(id_token) = tokens.id_token.clone().filter(|_| self.console.is_some()) else {
            return;
        };
        let (service, home) = (Arc::clone(self), Arc::clone(home));
        let refresh_token = tokens.refresh_token.clone();
        tokio::spawn(async move {
            if let Some(grant) = grant_of(&home, &id_token, refresh_token.as_ref()) {
                service.index_user(&grant, &id_token).await;
            }
        });
    }
}

/// The grant in which a login of `home` is usually stored; `None`: its ID token names no user.
fn grant_of(
    home: &HomeIssuer,
    id_token: &SecretString,
    refresh_token: Option<&SecretString>,
) -> Option<GrantKey> {
    let (issuer, client_id) = (&home.config.issuer, &home.config.client_id);
    if home.config.refresh_tokens == RefreshTokens::PerLogin {
        let first = refresh_token.unwrap_or(id_token);
        return Some(GrantKey::of_login(issuer, client_id, &fingerprint(first)));
    }
    let claims = Claims::read(id_token.expose_secret().as_bytes()).ok()?;
    Some(GrantKey::new(issuer, client_id, &claims.subject))
}

/// Whether a token response holds a login that can be refreshed, and whose user is known.
fn is_login(tokens: &TokenResponse) -> bool {
    tokens.id_token.is_some() && tokens.refresh_token.is_some()
}
