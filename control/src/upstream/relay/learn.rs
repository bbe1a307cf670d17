//! Logins that pass through the relay: an answer with an ID token and a refresh token for a configured client.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_protocol::jwt::Claims;

use super::{Relay, RequestDigest};
use crate::digest;
use crate::store::{Expected, StoreError};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::grant::{Login, LoginSource};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::answer::response::TokenResponse;
use crate::upstream::issuer::token_type::IdTokenProfile;

/// How long a passing answer waits until its login is stored. A client may refresh at once, and an aggregator present the ID
/// token.
const WAIT: Duration = Duration::from_secs(2);
/// How long the same code request is answered with the same login.
const REPEATED_WITHIN: Duration = Duration::from_secs(60);

impl Relay {
    /// Learns the login of `response`, a 2xx with which the issuer answered an authenticated client of `home`. Returns when
    /// it is stored, after two seconds at the latest; the rest continues. `request`, if it made the login with a code, finds
    /// the login's response when it is sent again. Nothing is learned of an answer without an ID token of this client or
    /// without a refresh token, and nothing of it is logged.
    pub async fn learn(
        &self,
        home: &Arc<HomeIssuer>,
        response: &TokenResponse,
        request: Option<&RequestDigest>,
    ) {
        let (relay, home) = (self.clone(), Arc::clone(home));
        let (response, request) = (response.clone(), request.cloned());
        let task = self.tasks.spawn(async move {
            let outcome = match relay.learned(&home, &response).await {
                Ok(Some(key)) => match relay.remember(request.as_ref(), &key).await {
                    Ok(()) => "learned",
                    Err(_) => "store_unavailable",
                },
                Ok(None) => "not_learned",
                Err(error) => {
                    tracing::debug!(%error, "store error");
                    "store_unavailable"
                }
            };
            relay.context.metrics.relay.login(&home.config.issuer, outcome);
        });
        let _ = tokio::time::timeout(WAIT, task).await;
    }

    /// The newest response of the login that the same code request has made within the last minute.
    pub async fn repeated(&self, home: &Arc<HomeIssuer>, request: &RequestDigest) -> Option<TokenResponse> {
        let entry = self.context.store.read(&request.record()).await.ok()??;
        let bytes: [u8; digest::BYTES] = entry.value.try_into().ok()?;
        let key = GrantKey::from_digest(digest::hex(&bytes));
        let response = self.newest(&key).await.ok()??;
        let metrics = &self.context.metrics.relay;
        metrics.login(&home.config.issuer, "repeated");
        Some(response)
    }

    async fn remember(&self, request: Option<&RequestDigest>, key: &GrantKey) -> Result<(), StoreError> {
        let (Some(request), Some(bytes)) = (request, digest::bytes(key.digest())) else {
            return Ok(());
        };
        let lifetime = Some(REPEATED_WITHIN);
        let store = &self.context.store;
        store
            .write(&request.record(), Expected::Any, &bytes, lifetime)
            .await
            .map(drop)
    }

    /// Stores the login of `response`; its grant, or `None` if there is no login in it that could be stored.
    async fn learned(
        &self,
        home: &Arc<HomeIssuer>,
        response: &TokenResponse,
    ) -> Result<Option<GrantKey>, StoreError> {
        let (Some(id_token), Some(refresh_token)) = (&response.id_token, &response.refresh_token) else {
            return Ok(None);
        };
        let text = id_token.expose_secret();
        let Some((claims, profile)) = self.read_id_token(home, text) else {
            return Ok(None);
        };
        if home.keys.prove_login(text, &claims).await.is_err() {
            return Ok(None);
        }
        let login = Login {
            id_token,
            claims: &claims,
            client_id: &home.config.client_id,
            refresh_token: Some(refresh_token),
            // The stored response has it.
            access_token: None,
            session_id: profile.session_id.as_deref(),
            refresh_tokens: home.config.refresh_tokens,
            source: LoginSource::Learned(response),
        };
        self.grants.learn(home.config.policy, &login).await
    }

    /// The claims of an ID token that the issuer of `home` issued to its client or to a trusted peer. The signature is not
    /// verified here.
    fn read_id_token(&self, home: &HomeIssuer, token: &str) -> Option<(Claims, IdTokenProfile)> {
        let config = &home.config;
        let mut claims = Claims::read(token.as_bytes()).ok()?;
        let is_ours = claims.issuer == config.issuer && claims.audiences.contains(&config.client_id);
        let profile = IdTokenProfile::read(token).ok().filter(|_| is_ours)?;
        profile.is_issued_to(|party| config.trusts(party)).ok()?;
        profile.has_begun(self.context.clock.now_ms()).ok()?;
        // Whole seconds: a fraction must not decide between two logins.
        claims.issued_at_seconds = profile.issued_at_seconds;
        Some((claims, profile))
    }
}
