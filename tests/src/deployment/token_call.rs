//! A call for a token, as the filter makes it.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TokenRequest};

use super::Deployment;
use super::calls::{Answer, basic, post_form};
use super::plan::{FILTER, SERVER};

/// The longest pause before a call is repeated: `Retry-After` is rounded up to a second, and a caller that comes early is
/// refused once more.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A call of the filter for the token of one session and server. It may be sent any number of times, from any task.
#[derive(Debug, Clone)]
pub struct TokenCall {
    http: reqwest::Client,
    urls: Vec<String>,
    replica: usize,
    token: String,
    token_type: SubjectTokenType,
    session: Option<String>,
    server: String,
    reason: Reason,
}

/// How a call ends that is repeated as `Retry-After` allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this token.
    Served(String),
    /// The user must log in: the description of the refusal.
    NeedsLogin(String),
}

impl<R, I> Deployment<R, I> {
    /// A call of the filter about `kubernetes`, at the first replica.
    pub fn ask(&self, token: &str) -> TokenCall {
        TokenCall {
            http: self.http.clone(),
            urls: self.urls.clone(),
            replica: 0,
            token: token.to_owned(),
            token_type: SubjectTokenType::IdToken,
            session: None,
            server: SERVER.to_owned(),
            reason: Reason::Stale,
        }
    }
}

impl TokenCall {
    /// With this session.
    #[must_use]
    pub fn session(self, session: &str) -> Self {
        let session = Some(session.to_owned());
        Self { session, ..self }
    }

    /// With a token that is said to be an access token of control's own authorization server.
    #[must_use]
    pub fn access_token(self) -> Self {
        let token_type = SubjectTokenType::AccessToken;
        Self { token_type, ..self }
    }

    /// About this server.
    #[must_use]
    pub fn server(self, server: &str) -> Self {
        let server = server.to_owned();
        Self { server, ..self }
    }

    /// For this reason instead of a stale token.
    #[must_use]
    pub fn reason(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    /// At this replica.
    #[must_use]
    pub fn replica(self, replica: usize) -> Self {
        Self { replica, ..self }
    }

    /// At a control service that is none of the replicas.
    #[must_use]
    pub fn at(self, url: String) -> Self {
        Self {
            urls: vec![url],
            replica: 0,
            ..self
        }
    }

    /// The body of the request.
    pub fn form(&self) -> String {
        TokenRequest {
            subject_token: self.token.as_str().into(),
            subject_token_type: self.token_type,
            server: self.server.clone(),
            session: self.session.as_deref().map(Into::into),
            reason: self.reason,
        }
        .to_form()
    }

    /// Sends it once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self) -> anyhow::Result<Answer> {
        let (url, caller) = (&self.urls[self.replica], basic("filter", FILTER));
        post_form(&self.http, url, &caller, &self.form()).await
    }

    /// Sends it again as long as the answer is 503, after the pause of its `Retry-After`.
    ///
    /// # Errors
    /// When that has not ended within `deadline`, or the answer is neither a token nor `needs_login`.
    pub async fn send_until_settled(&self, deadline: Duration) -> anyhow::Result<Ending> {
        let limit = Instant::now() + deadline;
        loop {
            let answer = self.send().await?;
            match answer.refusal() {
                (200, "") => return Ok(Ending::Served(answer.token().to_owned())),
                (400, "needs_login") => {
                    return Ok(Ending::NeedsLogin(answer.text("error_description").to_owned()));
                }
                (503, _) if Instant::now() < limit => {
                    let pause = answer.retry_after().unwrap_or_default();
                    tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
                }
                _ => bail!("not settled within {deadline:?}: {answer:?}"),
            }
        }
    }
}
