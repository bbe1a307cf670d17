//! Requests of MCP clients, and what became of them.

use serde_json::Value;

use super::token::TokenBuilder;
use super::world::FilterWorld;
use super::{HOST, SESSION_HEADER};
use crate::headers::Headers;
use crate::properties::Properties;
use crate::stream::{Outcome, Stream};

/// What stands behind `Bearer`.
#[derive(Debug, Clone)]
pub enum Bearer {
    /// These bytes.
    Raw(Vec<u8>),
    /// A token made when the request is sent.
    Token(TokenBuilder),
}

impl From<TokenBuilder> for Bearer {
    fn from(token: TokenBuilder) -> Self {
        Self::Token(token)
    }
}

impl From<&str> for Bearer {
    fn from(token: &str) -> Self {
        Self::Raw(token.into())
    }
}

impl From<&String> for Bearer {
    fn from(token: &String) -> Self {
        Self::Raw(token.clone().into())
    }
}

/// A request to be sent: a POST to `/<server>/mcp` on worker 0, unless the story sets something else.
#[derive(Clone)]
pub struct RequestBuilder<'world> {
    world: &'world FilterWorld,
    method: String,
    path: String,
    host: String,
    headers: Headers,
    annotation: Option<String>,
    worker: usize,
}

impl<'world> RequestBuilder<'world> {
    pub(super) fn new(world: &'world FilterWorld, server: &str) -> Self {
        Self {
            world,
            method: "POST".into(),
            path: format!("/{server}/mcp"),
            host: HOST.into(),
            headers: Headers::new(),
            annotation: None,
            worker: 0,
        }
    }

    /// `authorization: Bearer …`; a second one adds a second header.
    #[must_use]
    pub fn bearer(self, bearer: impl Into<Bearer>) -> Self {
        let token = match bearer.into() {
            Bearer::Raw(token) => token,
            Bearer::Token(token) => self.world.mint(&token).into(),
        };
        self.header("authorization", [b"Bearer ".as_slice(), &token].concat())
    }

    /// The aggregator's session handle, in [`SESSION_HEADER`].
    #[must_use]
    pub fn session(self, session: &str) -> Self {
        self.header(SESSION_HEADER, session)
    }

    /// One more header, of any bytes.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.add(name, value);
        self
    }

    /// GET: an MCP client's listener.
    #[must_use]
    pub fn get(mut self) -> Self {
        self.method = "GET".into();
        self
    }

    /// `:path`.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// `:authority`.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// The route's HTTPRoute is annotated `gateway.envoyproxy.io/tokenward-server: <server>`.
    #[must_use]
    pub fn annotated(mut self, server: &str) -> Self {
        self.annotation = Some(server.into());
        self
    }

    /// Which worker takes it.
    #[must_use]
    pub fn on_worker(mut self, worker: usize) -> Self {
        self.worker = worker;
        self
    }

    /// Sends it and runs it until the filter has decided or waits for something that needs time.
    #[must_use]
    pub fn send(&self) -> Sent {
        let mut headers = Headers::request(&self.method, &self.host, &self.path);
        for (name, value) in self.headers.iter() {
            headers.add(name, value);
        }
        let mut properties = Properties::new();
        if let Some(server) = &self.annotation {
            properties.set_route_annotations(&[("tokenward-server", server)]);
        }
        Sent(
            self.world
                .gateway()
                .worker(self.worker)
                .send(headers, None, properties),
        )
    }
}

/// A request that was sent.
#[derive(Clone)]
pub struct Sent(Stream);

impl Sent {
    /// The stream underneath.
    #[must_use]
    pub fn stream(&self) -> &Stream {
        &self.0
    }

    /// Whether it reached the MCP server.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        matches!(self.0.outcome(), Outcome::Forwarded { .. })
    }

    /// Whether the filter still holds it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.is_paused()
    }

    /// Whether it was answered without reaching the MCP server.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.0.outcome(), Outcome::Answered { .. })
    }

    /// The token that reached the MCP server.
    #[must_use]
    pub fn forwarded_bearer(&self) -> Option<String> {
        match self.0.outcome() {
            Outcome::Forwarded { headers } => bearer_of(&headers),
            _ => None,
        }
    }

    /// Status that the client got; `None` while it waits.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.client_response().map(|response| response.status)
    }

    /// A header of the client's response.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.0.client_response()?.headers.text(name)
    }

    /// The client's response body as JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.0.client_response()?.body).ok()
    }

    /// The `refusal` in the client's response body.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        Some(self.json()?.get("refusal")?.as_str()?.to_owned())
    }

    /// The client goes away.
    pub fn disconnect(&self) {
        self.0.disconnect();
    }

    /// The MCP server answers a request that was held open (see `upstream_stays_open`).
    ///
    /// # Panics
    /// When the request was not forwarded, or was answered already.
    pub fn respond(&self, status: u16, headers: &Headers, body: &str) {
        self.0.respond(status, headers, body);
    }
}

pub(super) fn bearer_of(headers: &Headers) -> Option<String> {
    headers
        .text("authorization")?
        .strip_prefix("Bearer ")
        .map(str::to_owned)
}
