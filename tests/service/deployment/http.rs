//! Requests to a control service, as the filter and the aggregator make them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokenward_harness::issuer::LoginTokens;
use tokenward_harness::secrets;
use tokenward_protocol::token_endpoint::{Reason, TokenRequest};

use crate::openapi::assert_documented;

use super::{AGGREGATOR, Deployment, FILTER};

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status and refusal, for one comparison.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.text("refusal"))
    }

    pub(crate) fn token(&self) -> &str {
        self.text("access_token")
    }

    /// The answer, which must be as `openapi.json` has it.
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

/// `Basic` as RFC 6749 §2.3.1 has it.
pub(crate) fn basic(user: &str, credential: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!(
        "Basic {}",
        STANDARD.encode(format!("{}:{}", encoded(user), encoded(credential)))
    )
}

/// A question for a token.
#[derive(Clone)]
pub(crate) struct Ask<'a> {
    pub(super) deployment: &'a Deployment,
    pub(super) replica: usize,
    pub(super) token: &'a str,
    pub(super) session: Option<&'a str>,
    pub(super) server: &'a str,
    pub(super) reason: Reason,
}

impl<'a> Ask<'a> {
    pub(crate) fn session(self, session: &'a str) -> Self {
        Self {
            session: Some(session),
            ..self
        }
    }

    pub(crate) fn server(self, server: &'a str) -> Self {
        Self { server, ..self }
    }

    pub(crate) fn reason(self, reason: Reason) -> Self {
        Self { reason, ..self }
    }

    pub(crate) fn replica(self, replica: usize) -> Self {
        Self { replica, ..self }
    }

    pub(crate) fn form(&self) -> String {
        TokenRequest {
            subject_token: self.token.into(),
            server: self.server.to_owned(),
            session: self.session.map(Into::into),
            reason: self.reason,
        }
        .to_form()
    }

    pub(crate) async fn send(&self) -> anyhow::Result<Answer> {
        let form = self.form();
        self.deployment
            .post_form(self.replica, &basic("filter", FILTER), &form)
            .await
    }
}

impl Deployment {
    pub(crate) async fn post_form(&self, replica: usize, caller: &str, form: &str) -> anyhow::Result<Answer> {
        Answer::of(
            self.http
                .post(format!("{}/oauth2/token", self.urls[replica]))
                .header("authorization", caller)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.to_owned()),
        )
        .await
    }

    pub(crate) async fn request(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        Answer::of(request).await
    }

    pub(crate) async fn put(
        &self,
        session: &str,
        id_token: &str,
        refresh_token: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let client_id = &self.config.issuers[0].client_id;
        let mut body = json!({"issuer": self.dex.issuer(), "client_id": client_id, "id_token": id_token});
        if let Some(refresh_token) = refresh_token {
            body["refresh_token"] = json!(refresh_token);
        }
        self.put_body(session, &body).await
    }

    /// `login` with both its tokens, as the session `session`.
    pub(crate) async fn put_login(&self, session: &str, login: &LoginTokens) -> anyhow::Result<Answer> {
        self.put(session, &login.id_token, Some(&login.refresh_token))
            .await
    }

    pub(crate) async fn put_body(&self, session: &str, body: &Value) -> anyhow::Result<Answer> {
        secrets::note(session);
        Answer::of(
            self.http
                .put(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR)
                .json(body),
        )
        .await
    }

    pub(crate) async fn status(&self, session: &str) -> anyhow::Result<Answer> {
        Answer::of(
            self.http
                .get(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR),
        )
        .await
    }

    pub(crate) async fn end(&self, session: &str) -> anyhow::Result<Answer> {
        Answer::of(
            self.http
                .delete(format!("{}/v1/sessions/{session}", self.urls[0]))
                .bearer_auth(AGGREGATOR),
        )
        .await
    }

    pub(crate) async fn sign_out(&self, subject: &str) -> anyhow::Result<Answer> {
        let body = json!({"issuer": self.dex.issuer(), "subject": subject});
        Answer::of(
            self.http
                .post(format!("{}/v1/sign-out", self.urls[0]))
                .header("authorization", basic("aggregator", AGGREGATOR))
                .json(&body),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Answer::of(self.http.get(format!("{}{path}", self.urls[0]))).await
    }
}
