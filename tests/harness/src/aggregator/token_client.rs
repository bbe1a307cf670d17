//! The stand-in's calls to the issuer's token endpoint, as golang.org/x/oauth2 makes them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::secrets;

/// After so long it no longer waits.
const GIVES_UP_AFTER: Duration = Duration::from_secs(10);

/// How a client shows its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `Authorization: Basic`.
    Header,
    /// `client_id` and `client_secret` in the body.
    Body,
}

/// Why there are no tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTokens {
    /// The issuer's word: a 4xx with its body.
    Refused(u16, String),
    /// No answer, a 5xx or 429, or an answer without what it needs.
    Unavailable(String),
}

/// What a token endpoint gave.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The ID token.
    pub id_token: String,
    /// The access token: every answer must have one.
    pub access_token: String,
    /// The refresh token, where the answer has one.
    pub refresh_token: Option<String>,
}

/// The client of one process: it finds out once which form of authentication the endpoint takes, and the first call of the
/// process is sent in the other form too, whatever the error was.
#[derive(Debug)]
pub(super) struct TokenClient {
    http: reqwest::Client,
    id: String,
    secret: String,
    style: Mutex<Option<Style>>,
}

impl TokenClient {
    pub(super) fn new((id, secret): (&str, &str)) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .timeout(GIVES_UP_AFTER)
                .build()?,
            id: id.to_owned(),
            secret: secret.to_owned(),
            style: Mutex::default(),
        })
    }

    /// One call, or two in immediate succession while the form of authentication is not known.
    pub(super) async fn call(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Tokens, NoTokens> {
        let known = *self.style.lock().unwrap_or_else(PoisonError::into_inner);
        let first = known.unwrap_or(Style::Header);
        let mut used = first;
        let mut answer = self.send(endpoint, form, first).await;
        if known.is_none() && answer.is_err() {
            used = Style::Body;
            answer = self.send(endpoint, form, used).await;
        }
        if answer.is_ok() {
            *self.style.lock().unwrap_or_else(PoisonError::into_inner) = Some(used);
        }
        answer
    }

    pub(super) async fn send(
        &self,
        endpoint: &str,
        form: &[(&str, &str)],
        style: Style,
    ) -> Result<Tokens, NoTokens> {
        let unavailable = |error: reqwest::Error| NoTokens::Unavailable(error.to_string());
        let request = self.http.post(endpoint);
        let request = match style {
            Style::Header => request.basic_auth(&self.id, Some(&self.secret)).form(form),
            Style::Body => {
                let own = [("client_id", self.id.as_str()), ("client_secret", &self.secret)];
                request.form(&[form, &own].concat())
            }
        };
        let answer = request.send().await.map_err(unavailable)?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(unavailable)?;
        match status {
            200..300 => read(&body).ok_or_else(|| NoTokens::Unavailable(format!("{status} without tokens"))),
            429 | 500.. => Err(NoTokens::Unavailable(format!("{status} {body}"))),
            _ => Err(NoTokens::Refused(status, body)),
        }
    }
}

fn read(body: &str) -> Option<Tokens> {
    let answer: Value = serde_json::from_str(body).ok()?;
    let token = |name: &str| {
        let token = answer[name].as_str().filter(|token| !token.is_empty());
        token.inspect(|token| secrets::note(token)).map(str::to_owned)
    };
    Some(Tokens {
        id_token: token("id_token")?,
        access_token: token("access_token")?,
        refresh_token: token("refresh_token"),
    })
}
