//! The server: verification, counts and failures on demand; the protocol itself is in `protocol.rs`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::behind::Behind;
use super::trust::{Verdict, Verifier};
use super::{McpTrust, protocol};
use crate::parts::{Cut, LoopbackServer, LoopbackSocket};

/// How many tokens are remembered.
const REMEMBERED_TOKENS: usize = 1024;

/// Requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct McpCounts {
    /// All that arrived.
    pub requests: usize,
    /// With a good token.
    pub accepted: usize,
    /// With a bearer token at or past its `exp`, whatever else was wrong with it.
    pub rejected_expired: usize,
    /// With a token that the gateway itself signed (`at+jwt`, RFC 9068), good or not: such a token must never leave it.
    pub own_tokens: usize,
    /// Without a token, or with one that was wrong in another way.
    pub rejected_other: usize,
    /// With a good token, but answered with a planned status.
    pub planned: usize,
    /// With the header `Mcp-Method`, as in MCP 2026-07-28.
    pub with_mcp_method: usize,
    /// Cut because the server was down.
    pub while_down: usize,
}

/// A bearer token as a request carried it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenToken {
    /// `sub`.
    pub subject: Option<String>,
    /// `exp`, Unix seconds.
    pub exp_seconds: Option<i64>,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: Option<i64>,
    /// [`crate::issuer::fingerprint`] of the token.
    pub fingerprint: String,
    /// Whether it is an opaque access token of the issuer.
    pub is_opaque: bool,
    /// Whether it is an access token of the gateway's own: its `typ` is `at+jwt`.
    pub is_own: bool,
}

/// An MCP server on a free port of 127.0.0.1, on every path. It ends when it is dropped.
#[derive(Debug)]
pub struct McpServer {
    shared: Arc<Shared>,
    server: LoopbackServer,
}

#[derive(Debug)]
struct Shared {
    verifier: Verifier,
    /// The server that answers requests with good tokens; `None` is this server itself.
    behind: Option<Behind>,
    trust_revoked: AtomicBool,
    down: Arc<AtomicBool>,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    counts: McpCounts,
    seen: VecDeque<SeenToken>,
    planned: VecDeque<StatusCode>,
    streams_last: Duration,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl McpServer {
    /// Starts it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(trust: McpTrust) -> anyhow::Result<Self> {
        Self::start_with(trust, None).await
    }

    /// Starts one that verifies and counts as ever, and leaves the answers to another server.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_in_front_of(trust: McpTrust, server: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(trust, Some(Behind::new(server)?)).await
    }

    async fn start_with(trust: McpTrust, behind: Option<Behind>) -> anyhow::Result<Self> {
        let socket = LoopbackSocket::bind().await?;
        let down = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            verifier: Verifier::new(trust),
            behind,
            trust_revoked: AtomicBool::new(false),
            down: down.clone(),
            record: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        Ok(Self {
            shared,
            server: socket.serve(router, down),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:PORT/mcp`.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address())
    }

    /// Requests so far.
    pub fn counts(&self) -> McpCounts {
        self.shared.record().counts
    }

    /// The last tokens it saw, good or not, oldest first.
    pub fn seen(&self) -> Vec<SeenToken> {
        self.shared.record().seen.iter().cloned().collect()
    }

    /// The next `count` requests with good tokens are answered with `status`.
    pub fn answer_next(&self, count: usize, status: StatusCode) {
        self.shared
            .record()
            .planned
            .extend(std::iter::repeat_n(status, count));
    }

    /// From now on it takes no token of its issuer, however good (401), or takes them again.
    pub fn set_trust_revoked(&self, revoked: bool) {
        self.shared.trust_revoked.store(revoked, Ordering::SeqCst);
    }

    /// From now on a listener's stream stays open this long after its events; at first not at all.
    pub fn set_streams_last(&self, lasts: Duration) {
        self.shared.record().streams_last = lasts;
    }

    /// While down, connections close at once and nothing is answered.
    pub fn set_down(&self, down: bool) {
        self.server.set_down(down);
    }
}

impl Drop for McpServer {
    /// Wherever a server of the tests ends, it has seen no token that the gateway itself signed.
    fn drop(&mut self) {
        let own_tokens = self.counts().own_tokens;
        assert!(
            own_tokens == 0 || std::thread::panicking(),
            "{own_tokens} requests reached an MCP server with a token that the gateway itself signed"
        );
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    if shared.down.load(Ordering::SeqCst) {
        shared.record().counts.while_down += 1;
        cut.cut();
        return Response::default();
    }
    let verdict = match bearer(request.headers()) {
        Some(token) => {
            let (verdict, seen) = shared.verifier.verify(token).await;
            if seen.is_own {
                shared.record().counts.own_tokens += 1;
            }
            remember(&shared, seen);
            if verdict == Verdict::Good && shared.trust_revoked.load(Ordering::SeqCst) {
                Verdict::Bad
            } else {
                verdict
            }
        }
        None => Verdict::Bad,
    };
    if request.headers().contains_key("mcp-method") {
        shared.record().counts.with_mcp_method += 1;
    }
    if let Some(status) = count(&shared, verdict) {
        return status.into_response();
    }
    match verdict {
        Verdict::Good => {
            let streams_last = shared.record().streams_last;
            match &shared.behind {
                Some(behind) => behind.answer(request, streams_last).await,
                None => protocol::answer(request, streams_last).await,
            }
        }
        Verdict::Expired => challenge("the access token expired"),
        Verdict::Bad => challenge("the access token is missing or invalid"),
    }
}

/// Counts the request; a status when one is planned for it.
fn count(shared: &Shared, verdict: Verdict) -> Option<StatusCode> {
    let mut record = shared.record();
    record.counts.requests += 1;
    match verdict {
        Verdict::Good => match record.planned.pop_front() {
            Some(status) => {
                record.counts.planned += 1;
                return Some(status);
            }
            None => record.counts.accepted += 1,
        },
        Verdict::Expired => record.counts.rejected_expired += 1,
        Verdict::Bad => record.counts.rejected_other += 1,
    }
    None
}

fn remember(shared: &Shared, token: SeenToken) {
    let mut record = shared.record();
    if record.seen.len() == REMEMBERED_TOKENS {
        record.seen.pop_front();
    }
    record.seen.push_back(token);
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// RFC 6750 §3 with the resource metadata of RFC 9728 §5.1.
fn challenge(description: &str) -> Response {
    let value = format!(
        "Bearer error=\"invalid_token\", error_description=\"{description}\", \
         resource_metadata=\"http://mcp.invalid/.well-known/oauth-protected-resource\""
    );
    let mut response = (StatusCode::UNAUTHORIZED, description.to_owned()).into_response();
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
    response
}
