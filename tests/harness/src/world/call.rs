//! Calls to MCP servers through Envoy, as an aggregator makes them.

use std::time::Duration;

use serde_json::{Value, json};

use super::Login;
use crate::parts::Envoy;

/// How long a caller waits: longer than any pause of the filter.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// One call that has not been sent yet.
#[derive(Debug, Clone)]
pub struct Call {
    http: reqwest::Client,
    pub(super) url: String,
    pub(super) method: reqwest::Method,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// An answer, from a server or from the gateway.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body.
    pub body: String,
}

impl Call {
    pub(super) fn new(http: reqwest::Client, url: String) -> Self {
        Self {
            http,
            url,
            method: reqwest::Method::POST,
            headers: Vec::new(),
        }
    }

    /// With the login's ID token and session handle.
    pub fn login(self, login: &Login) -> Self {
        self.bearer(&login.tokens.id_token)
            .header("x-tokenward-session", login.session.as_bytes())
    }

    /// With this bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}").as_bytes())
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Through another Envoy than the world's.
    pub fn through(self, envoy: &Envoy) -> Self {
        self.at(&envoy.url())
    }

    /// At another gateway than the world's, `http://HOST:PORT`.
    pub fn at(mut self, gateway: &str) -> Self {
        let path = self.url.splitn(4, '/').nth(3).unwrap_or_default();
        self.url = format!("{gateway}/{path}");
        self
    }

    /// As a listener: `GET`, for the server's event stream.
    pub fn listen(mut self) -> Self {
        self.method = reqwest::Method::GET;
        self
    }

    pub(super) fn accept(&self) -> &'static str {
        match self.method {
            reqwest::Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        }
    }

    pub(super) fn body(&self) -> Option<Value> {
        (self.method != reqwest::Method::GET).then(|| {
            json!({
                "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": {"name": "echo", "arguments": {"text": "hello"}},
            })
        })
    }

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub async fn send(&self) -> anyhow::Result<Answer> {
        let mut request = self
            .http
            .request(self.method.clone(), &self.url)
            .timeout(PATIENCE);
        request = request.header("accept", self.accept());
        if let Some(body) = self.body() {
            request = request.json(&body);
        }
        for (name, value) in &self.headers {
            request = request.header(name.as_str(), value.as_slice());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            body: response.text().await?,
        })
    }

    /// Sends it `count` times at once, each on a connection of its own.
    ///
    /// # Errors
    /// When one of them gets no answer at all.
    pub async fn send_many(&self, count: usize) -> anyhow::Result<Vec<Answer>> {
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..count {
            let call = self.clone();
            under_way.spawn(async move { call.send().await });
        }
        under_way.join_all().await.into_iter().collect()
    }
}

impl Answer {
    /// A header's value, where it comes once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The refusal's name, when the gateway answered.
    pub fn refusal(&self) -> Option<String> {
        self.json()["refusal"].as_str().map(str::to_owned)
    }
}
