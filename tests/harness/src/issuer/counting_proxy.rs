//! A reverse proxy before a real issuer that counts what arrives, as the fake Dex does of itself, and can be taken down.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::counts::{Counter, fingerprint};
use super::form::Form;
use super::front::endpoint_of;
use super::jose::{Jws, http_client};
use super::mishaps::Mishaps;
use super::{Endpoint, IssuerCounts, Presentation};
use crate::parts::{Cut, LoopbackServer, LoopbackSocket};
use crate::secrets;

const LONGEST_BODY_BYTES: usize = 1024 * 1024;

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct CountingProxy {
    book: Arc<Book>,
    mishaps: Arc<Mishaps>,
    server: LoopbackServer,
}

impl CountingProxy {
    /// Passes everything that arrives at `socket` on to the issuer at `issuer`.
    pub(crate) fn serve(socket: LoopbackSocket, issuer: SocketAddr) -> Self {
        let (book, down) = (Arc::<Book>::default(), Arc::<AtomicBool>::default());
        let mishaps = Arc::<Mishaps>::default();
        let front = Front {
            book: Arc::clone(&book),
            mishaps: Arc::clone(&mishaps),
            down: Arc::clone(&down),
            issuer,
            http: http_client(),
        };
        let router = Router::new().fallback(answer).with_state(front);
        Self {
            book,
            mishaps,
            server: socket.serve(router, down),
        }
    }

    /// Answers to refreshes and exchanges come so much later from now on; the issuer's work is done at once.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.mishaps.set_delay(delay);
    }

    /// Cuts the connections of the next `count` refreshes or exchanges after the issuer has answered.
    pub(crate) fn lose_answers(&self, count: usize) {
        self.mishaps.lose_answers(count);
    }

    /// Cuts the connections of the next `count` refreshes or exchanges before the issuer sees them. They are not counted.
    pub(crate) fn lose_requests(&self, count: usize) {
        self.mishaps.lose_requests(count);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// While down, every connection is closed without an answer.
    pub(crate) fn set_down(&self, down: bool) {
        self.server.set_down(down);
    }

    /// Requests so far.
    pub(crate) fn counts(&self) -> IssuerCounts {
        self.book.pages().counter.all
    }

    /// Requests so far of one user.
    pub(crate) fn counts_of(&self, email: &str) -> IssuerCounts {
        let pages = self.book.pages();
        pages.counter.users.get(email).copied().unwrap_or_default()
    }

    /// The latest `exp` of all tokens issued so far, Unix seconds; 0 before the first.
    pub(crate) fn last_expiry_seconds(&self) -> i64 {
        self.book.pages().last_expiry_seconds
    }

    /// Every arrival of a refresh token so far, in order.
    pub(crate) fn presentations(&self) -> Vec<Presentation> {
        self.book.pages().counter.presentations.clone()
    }

    /// Returns when the total numbers satisfy `predicate`.
    ///
    /// # Errors
    /// When they do not within `deadline`.
    pub(crate) async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        let mut counts = self.book.counted.subscribe();
        let reached = tokio::time::timeout(deadline, counts.wait_for(|counts| predicate(counts))).await;
        match reached {
            Ok(counts) => Ok(*counts.context("the issuer has gone")?),
            Err(_) => anyhow::bail!("not within {deadline:?}: {:?}", self.counts()),
        }
    }
}

#[derive(Debug, Clone)]
struct Front {
    book: Arc<Book>,
    mishaps: Arc<Mishaps>,
    down: Arc<AtomicBool>,
    issuer: SocketAddr,
    http: reqwest::Client,
}

/// All counts, and the user of each refresh token: Dex's own tokens do not contain it.
#[derive(Debug, Default)]
struct Book {
    pages: Mutex<Pages>,
    counted: watch::Sender<IssuerCounts>,
}

#[derive(Debug, Default)]
struct Pages {
    counter: Counter,
    /// Email by [`fingerprint`] of a refresh token.
    owners: HashMap<String, String>,
    last_expiry_seconds: i64,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, user: Option<&str>, count: impl Fn(&mut IssuerCounts)) {
        let mut pages = self.pages();
        pages.counter.count(user, count);
        self.counted.send_replace(pages.counter.all);
    }

    /// Counts a request that arrived and returns its user, where that can be known.
    fn count_arrival(&self, endpoint: Endpoint, path: &str, form: &Form) -> Option<String> {
        match endpoint {
            Endpoint::Discovery => self.count(None, |counts| counts.discovery_fetches += 1),
            Endpoint::Keys => self.count(None, |counts| counts.key_fetches += 1),
            Endpoint::UserInfo => self.count(None, |counts| counts.user_info_requests += 1),
            Endpoint::Introspect => self.count(None, |counts| counts.introspections += 1),
            Endpoint::Revoke => self.count(None, |counts| counts.revocations += 1),
            // A code does not contain the user; the answer does.
            Endpoint::Login => return Some(form.get("username").to_owned()).filter(|user| !user.is_empty()),
            Endpoint::Refresh => {
                let fingerprint = fingerprint(form.get("refresh_token"));
                let user = self.pages().owners.get(&fingerprint).cloned();
                let presentation = Presentation {
                    user: user.clone(),
                    fingerprint,
                };
                self.pages().counter.presentations.push(presentation);
                self.count(user.as_deref(), |counts| counts.refreshes_presented += 1);
                return user;
            }
            Endpoint::Exchange => {
                // RFC 7523 has another name for it.
                let subject = [form.get("subject_token"), form.get("assertion")];
                let subject = subject.into_iter().find_map(Jws::read);
                let user = subject.and_then(|jws| jws.text("email").map(str::to_owned));
                self.count(user.as_deref(), |counts| counts.exchanges_presented += 1);
                return user;
            }
            Endpoint::Authorization if path == "/auth" => {
                self.count(None, |counts| counts.authorizations += 1);
            }
            Endpoint::Authorization | Endpoint::Other => {}
        }
        None
    }

    /// Counts a request that Dex answered well, and remembers the user of the new refresh token.
    fn count_success(&self, endpoint: Endpoint, user: Option<&str>, answer: &[u8]) {
        if !matches!(endpoint, Endpoint::Login | Endpoint::Refresh | Endpoint::Exchange) {
            return;
        }
        let answer = serde_json::from_slice(answer).unwrap_or_default();
        let in_token = user_of(&answer);
        let user = user.or(in_token.as_deref());
        self.remember(user, &answer);
        // Last: a test that awaits the count may read at once what came with it.
        self.count(user, |counts| match endpoint {
            Endpoint::Login => counts.logins += 1,
            Endpoint::Refresh => counts.refreshes_succeeded += 1,
            _ => counts.exchanges_succeeded += 1,
        });
    }

    fn remember(&self, user: Option<&str>, answer: &Value) {
        let refresh_token = answer["refresh_token"].as_str();
        // No process may print it, whichever program it is for.
        refresh_token.into_iter().for_each(secrets::note);
        let mut pages = self.pages();
        if let (Some(user), Some(token)) = (user, refresh_token) {
            pages.owners.insert(fingerprint(token), user.to_owned());
        }
        // An exchange answers with its ID token as `access_token`.
        let tokens = ["id_token", "access_token"].map(|name| answer[name].as_str().and_then(Jws::read));
        for exp_seconds in tokens.iter().flatten().filter_map(Jws::exp_seconds) {
            pages.last_expiry_seconds = pages.last_expiry_seconds.max(exp_seconds);
        }
    }
}

/// The user that an answer's ID token names: the email, as in the passwords of Dex, else the subject.
fn user_of(answer: &Value) -> Option<String> {
    let jws = Jws::read(answer["id_token"].as_str()?)?;
    jws.text("email").or(jws.text("sub")).map(str::to_owned)
}

async fn answer(
    State(front): State<Front>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LONGEST_BODY_BYTES)
        .await
        .unwrap_or_else(|_| Bytes::new());
    if front.down.load(Ordering::SeqCst) {
        front.book.count(None, |counts| counts.while_down += 1);
        cut.cut();
        return Response::default();
    }
    let form = Form::read(&parts.headers, &body);
    let path = parts.uri.path();
    let path = below_issuer(path);
    let endpoint = endpoint_of(path, &form);
    if front.mishaps.loses_request(endpoint) {
        cut.cut();
        return Response::default();
    }
    let user = front.book.count_arrival(endpoint, path, &form);
    // Not spawned: when the client goes, the issuer shall see it go, as it would without a proxy.
    match pass_on(&front, &parts, body).await {
        Ok((status, headers, body)) => {
            if status.is_success() {
                front.book.count_success(endpoint, user.as_deref(), &body);
            }
            if front.mishaps.loses_answer(endpoint).await {
                cut.cut();
                return Response::default();
            }
            (status, headers, Body::from(body)).into_response()
        }
        Err(error) => (StatusCode::BAD_GATEWAY, format!("the real issuer: {error:#}")).into_response(),
    }
}

/// The path below the issuer: of Dex's `/dex`, and of a realm of Keycloak, whose endpoints have one more prefix.
fn below_issuer(path: &str) -> &str {
    if let Some(realm) = path.strip_prefix("/realms/") {
        let below = realm.find('/').map_or("", |at| &realm[at..]);
        return below.strip_prefix("/protocol/openid-connect").unwrap_or(below);
    }
    path.strip_prefix("/dex").unwrap_or(path)
}

async fn pass_on(
    front: &Front,
    parts: &Parts,
    body: Bytes,
) -> anyhow::Result<(StatusCode, HeaderMap, Bytes)> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = end_to_end(&parts.headers);
    // Some issuers name their own pages by it.
    headers.extend(parts.headers.get(HOST).cloned().map(|host| (HOST, host)));
    let answer = front
        .http
        .request(parts.method.clone(), format!("http://{}{path}", front.issuer))
        .headers(headers)
        .body(body)
        .send()
        .await?;
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    Ok((status, headers, answer.bytes().await?))
}

/// Headers without those of one connection (RFC 9110 §7.6.1) and without what follows from the whole body.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
