//! Logins: at the home issuer, and registered with control as the aggregator does.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{CLIENT, World};
use crate::issuer::{Issuer, LoginTokens};

/// One login of a user at the aggregator.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub email: String,
    /// The aggregator's session handle.
    pub session: String,
    /// What the home issuer gave.
    pub tokens: LoginTokens,
}

impl<I: Issuer> World<I> {
    /// The user logs in now, and the aggregator registers the session.
    ///
    /// # Errors
    /// When the issuer or control refuses.
    pub async fn log_in(&self, email: &str) -> anyhow::Result<Login> {
        let login = self.log_in_unregistered(email).await?;
        self.register(&login).await?;
        Ok(login)
    }

    /// The user logs in again within the same session of the aggregator.
    ///
    /// # Errors
    /// When the issuer or control refuses.
    pub async fn log_in_again(&self, before: &Login) -> anyhow::Result<Login> {
        let tokens = self.home.log_in(&before.email, CLIENT.0).await?;
        let login = Login {
            tokens,
            ..before.clone()
        };
        self.register(&login).await?;
        Ok(login)
    }

    /// The user logs in, and no call registers the login at control.
    ///
    /// # Errors
    /// When the issuer refuses.
    pub async fn log_in_unregistered(&self, email: &str) -> anyhow::Result<Login> {
        let tokens = self.home.log_in(email, CLIENT.0).await?;
        let session = format!("session-{}", crate::issuer::fingerprint(&tokens.id_token));
        // Noted here too for issuers that are not of this process.
        for secret in [
            &session,
            &tokens.id_token,
            &tokens.access_token,
            &tokens.refresh_token,
        ] {
            crate::secrets::note(secret);
        }
        Ok(Login {
            email: email.to_owned(),
            session,
            tokens,
        })
    }

    /// The aggregator registers a session.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn register(&self, login: &Login) -> anyhow::Result<()> {
        let body = json!({
            "issuer": self.home.issuer(),
            "client_id": CLIENT.0,
            "id_token": login.tokens.id_token,
            "refresh_token": login.tokens.refresh_token,
        });
        let answer = self
            .sessions_api(reqwest::Method::PUT, &login.session, Some(&body))
            .await?;
        ensure!(
            answer.status().is_success(),
            "control refused the session: {}",
            answer.text().await?
        );
        Ok(())
    }

    /// Control's status of a session.
    ///
    /// # Errors
    /// When control cannot be reached or answers no JSON.
    pub async fn session(&self, login: &Login) -> anyhow::Result<Value> {
        let answer = self
            .sessions_api(reqwest::Method::GET, &login.session, None)
            .await?;
        Ok(answer.json().await?)
    }

    /// The user signs out of one session.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn sign_out(&self, login: &Login) -> anyhow::Result<()> {
        self.sessions_api(reqwest::Method::DELETE, &login.session, None)
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Ends a session by its handle; for a login at our own authorization server that is the `sid` of its access tokens.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn end_session(&self, session: &str) -> anyhow::Result<()> {
        self.sessions_api(reqwest::Method::DELETE, session, None)
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Waits, in real time, until every token that either issuer has issued so far has expired, also one that was
    /// renewed while this waits.
    pub async fn wait_until_tokens_expired(&self) {
        loop {
            let last = self
                .home
                .last_expiry_seconds()
                .max(self.remote.last_expiry_seconds());
            let left_ms = last * 1000 - self.home.clock().now_ms();
            if left_ms <= 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left_ms.clamp(1, 500).unsigned_abs())).await;
        }
    }

    /// Control's explanation of the pair with this digest, as log lines have it.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn explain_pair(&self, pair: &str) -> anyhow::Result<Value> {
        let request = self
            .http
            .get(format!("{}/v1/explain", self.control.url()))
            .bearer_auth(&self.aggregator_credential)
            .header("x-tokenward-pair", pair);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    async fn sessions_api(
        &self,
        method: reqwest::Method,
        session: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self
            .http
            .request(method, format!("{}/v1/sessions/{session}", self.control.url()))
            .bearer_auth(&self.aggregator_credential);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.context("control's sessions API")
    }
}

impl World {
    /// The user logged in an hour ago: the ID token is stale, the refresh token is good.
    ///
    /// # Errors
    /// When the issuer or control refuses.
    pub async fn log_in_an_hour_ago(&self, email: &str) -> anyhow::Result<Login> {
        let login = self.log_in_unregistered_an_hour_ago(email).await?;
        self.register(&login).await?;
        Ok(login)
    }

    /// [`World::log_in_an_hour_ago`], and no call registers the login at control.
    ///
    /// # Errors
    /// When the issuer refuses.
    pub async fn log_in_unregistered_an_hour_ago(&self, email: &str) -> anyhow::Result<Login> {
        let hour = Duration::from_secs(3600);
        self.home.clock().rewind(hour);
        let login = self.log_in_unregistered(email).await;
        self.home.clock().advance(hour);
        login
    }
}
