//! Callers of a control process, as the filter asks.

use std::time::{Duration, Instant};

use anyhow::bail;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use super::{SERVER, Session};
use crate::parts::Control;

/// An answer of the token endpoint.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// The refusal, empty where there is a token.
    pub fn refusal(&self) -> &str {
        self.body["refusal"].as_str().unwrap_or_default()
    }

    /// What people are told.
    pub fn description(&self) -> &str {
        self.body["error_description"].as_str().unwrap_or_default()
    }

    /// The token, where there is one.
    pub fn token(&self) -> Option<&str> {
        self.body["access_token"].as_str()
    }
}

/// How it ends for a caller that comes again as often as it is told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this token.
    Served(String),
    /// A person must log in; why.
    NeedsLogin(String),
}

/// A caller of one control process.
#[derive(Debug, Clone)]
pub struct Asker {
    url: String,
    credential: String,
    http: reqwest::Client,
}

impl Asker {
    /// A caller of `control`.
    pub(super) fn of(control: &Control, http: &reqwest::Client) -> Self {
        Self {
            http: http.clone(),
            url: format!("{}/oauth2/token", control.url()),
            credential: control.config().filter_credential.expose_secret().to_owned(),
        }
    }

    /// One question.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, session: &Session) -> anyhow::Result<Answer> {
        let form = TokenRequest {
            subject_token: session.id_token.as_str().into(),
            server: SERVER.to_owned(),
            session: Some(session.id.as_str().into()),
            reason: Reason::Stale,
        }
        .to_form();
        let response = self
            .http
            .post(&self.url)
            .bearer_auth(&self.credential)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?;
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after,
            body: response.json().await?,
        })
    }

    /// Asks, and comes again when it is told to.
    ///
    /// # Errors
    /// When that has not ended within `deadline`, or the answer is neither of the expected ones.
    pub async fn ask_until_settled(&self, session: &Session, deadline: Duration) -> anyhow::Result<Ending> {
        let limit = Instant::now() + deadline;
        loop {
            let answer = self.ask(session).await?;
            match (answer.status, answer.token(), answer.refusal()) {
                (200, Some(token), _) => return Ok(Ending::Served(token.to_owned())),
                (400, _, "needs_login") => return Ok(Ending::NeedsLogin(answer.description().to_owned())),
                (503, _, _) if Instant::now() < limit => {
                    // What was told is rounded up to a second; a caller may be early, and is told again.
                    let wait = answer
                        .retry_after
                        .unwrap_or_default()
                        .min(Duration::from_millis(500));
                    tokio::time::sleep(wait).await;
                }
                _ => bail!("not settled within {deadline:?}: {answer:?}"),
            }
        }
    }
}
