//! Requests to a control service, as the filter, the aggregator and an operator make them. Each answer is compared with
//! `openapi.json`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::Deployment;
use super::plan::AGGREGATOR;
use crate::openapi::assert_documented;
use tokenward_harness::issuer::LoginTokens;
use tokenward_harness::secrets;

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; null where it is empty or no JSON.
    pub body: Value,
}

impl Answer {
    /// A text member of the body; empty where there is none.
    pub fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// A header, where it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After`, where it is a number of seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    /// Status and refusal, for one comparison; the refusal is empty where there is a token.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.text("refusal"))
    }

    /// The token; empty where there is none.
    pub fn token(&self) -> &str {
        self.text("access_token")
    }

    /// Sends `request` and reads the answer.
    ///
    /// # Panics
    /// When the answer is not as `openapi.json` has it.
    async fn of(request: reqwest::RequestBuilder) -> anyhow::Result<Self> {
        let (client, request) = request.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await?;
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok());
        assert_documented(&method, &path, status, content_type, &bytes);
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }
}

/// `Basic` credentials, encoded as RFC 6749 §2.3.1 has it.
pub fn basic(user: &str, credential: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encoded(user), encoded(credential)))
    )
}

/// Posts `form` to the token endpoint of the service at `url`.
pub(super) async fn post_form(
    http: &reqwest::Client,
    url: &str,
    caller: &str,
    form: &str,
) -> anyhow::Result<Answer> {
    Answer::of(
        http.post(format!("{url}/oauth2/token"))
            .header("authorization", caller)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned()),
    )
    .await
}

/// # Errors
///
/// Each call fails when there is no answer.
impl<R, I> Deployment<R, I> {
    /// Posts `form` to the token endpoint of one replica, with `caller` as `Authorization`.
    pub async fn post_form(&self, replica: usize, caller: &str, form: &str) -> anyhow::Result<Answer> {
        post_form(&self.http, &self.urls[replica], caller, form).await
    }

    /// Sends a request that the test has made.
    pub async fn request(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        Answer::of(request).await
    }

    /// Registers a login's tokens as `session`.
    pub async fn put(
        &self,
        session: &str,
        id_token: &str,
        refresh_token: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut body = json!({"issuer": self.issuer, "client_id": self.client.0, "id_token": id_token});
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = json!(refresh_token);
        }
        self.put_body(session, &body).await
    }

    /// Registers `login`, with both its tokens, as `session`.
    pub async fn put_login(&self, session: &str, login: &LoginTokens) -> anyhow::Result<Answer> {
        self.put(session, &login.id_token, Some(&login.refresh_token))
            .await
    }

    /// `PUT` of any body for `session`.
    pub async fn put_body(&self, session: &str, body: &Value) -> anyhow::Result<Answer> {
        secrets::note(session);
        Answer::of(
            self.http
                .put(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR)
                .json(body),
        )
        .await
    }

    /// The state of `session`.
    pub async fn status(&self, session: &str) -> anyhow::Result<Answer> {
        Answer::of(
            self.http
                .get(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR),
        )
        .await
    }

    /// Ends `session`.
    pub async fn end(&self, session: &str) -> anyhow::Result<Answer> {
        Answer::of(
            self.http
                .delete(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR),
        )
        .await
    }

    /// Signs a user of the issuer out.
    pub async fn sign_out(&self, subject: &str) -> anyhow::Result<Answer> {
        let body = json!({"issuer": self.issuer, "subject": subject});
        Answer::of(
            self.http
                .post(format!("{}/v1/sign-out", self.urls[0]))
                .header("authorization", basic("aggregator", AGGREGATOR))
                .json(&body),
        )
        .await
    }

    /// `GET` of a path without credentials.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Answer::of(self.http.get(format!("{}{path}", self.urls[0]))).await
    }
}
