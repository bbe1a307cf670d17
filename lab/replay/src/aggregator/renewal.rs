//! An unmodified aggregator as the issuer's client: it refreshes near expiry, on a user's call, and at no other time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokenward_harness::issuer::LoginTokens;
use tokenward_harness::secrets;
use tokenward_harness::world::CLIENT;
use tokenward_protocol::jwt::Claims;

use super::Client;
use super::user::{Session, User};

/// It gives up after so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The issuer's token endpoint as the aggregator's process knows it.
#[derive(Debug)]
pub(super) struct TokenEndpoint {
    url: String,
    /// A token with less life left is refreshed.
    near_expiry: Duration,
    /// Whether the process has made its first request.
    probed: AtomicBool,
}

impl TokenEndpoint {
    pub(super) fn new(url: String, near_expiry: Duration) -> Self {
        Self {
            url,
            near_expiry,
            probed: AtomicBool::new(false),
        }
    }
}

impl Client {
    /// Refreshes the user's tokens if they are near their expiry. After a failure the session stays as it is.
    pub(super) async fn refresh_near_expiry(&self, user: &User) {
        let Some(endpoint) = &self.token_endpoint else {
            return;
        };
        let _one_at_a_time = user.refreshing.lock().await;
        let session = user.session();
        if life_left(&session.id_token) > endpoint.near_expiry {
            return;
        }
        if let Some(tokens) = self.refresh(endpoint, &session.refresh_token).await {
            let session = Session {
                id_token: tokens.id_token,
                refresh_token: tokens.refresh_token,
                ..session
            };
            // What is not stored is lost with the pod, no sooner.
            let _ = session.store(&self.valkey, user.email).await;
            user.set_session(session);
        }
    }

    /// Whether the issuer still refreshes what the aggregator holds.
    pub(super) async fn can_refresh(&self, user: &User) -> bool {
        let Some(endpoint) = &self.token_endpoint else {
            return true;
        };
        let session = user.session();
        self.refresh(endpoint, &session.refresh_token).await.is_some()
    }

    /// One refresh. If the first of a process fails, it is repeated at once with the secret in the form: the client
    /// library probes how the client authenticates.
    async fn refresh(&self, endpoint: &TokenEndpoint, refresh_token: &str) -> Option<LoginTokens> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        let request = || self.http.post(&endpoint.url).timeout(PATIENCE);
        let tokens = answered(request().basic_auth(CLIENT.0, Some(CLIENT.1)).form(&form)).await;
        let is_first = !endpoint.probed.swap(true, Ordering::SeqCst);
        if tokens.is_some() || !is_first {
            return tokens;
        }
        let in_form = [("client_id", CLIENT.0), ("client_secret", CLIENT.1)];
        let form: Vec<_> = form.into_iter().chain(in_form).collect();
        answered(request().form(&form)).await
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Option<LoginTokens> {
    let answer = request.send().await.ok()?.error_for_status().ok()?;
    let tokens: LoginTokens = answer.json().await.ok()?;
    for secret in [&tokens.id_token, &tokens.access_token, &tokens.refresh_token] {
        secrets::note(secret);
    }
    Some(tokens)
}

/// How long a token lives from now on; zero if it cannot be read.
fn life_left(id_token: &str) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expiry = Claims::read(id_token.as_bytes()).map_or(0, |claims| claims.exp_seconds);
    Duration::from_secs(expiry).saturating_sub(now)
}
