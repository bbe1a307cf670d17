//! The aggregator as it behaved: it stores tokens without an expiry, renews none of them, finds its sessions again in
//! Valkey after a restart, and has a listener per session and server that retries every second, whatever the answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;

use super::Pace;
use super::book::{Attempt, Book, Kind};
use tokenward_harness::issuer::{Issuer, http_client};
use tokenward_harness::parts::Valkey;
use tokenward_harness::world::{CONNECTOR, Login, World};

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Longer than any pause of the filter. What is not answered by then has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// One session, as it is stored in Valkey.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Session {
    handle: String,
    id_token: String,
    /// By server. Empty where the gateway exchanges.
    exchanged: BTreeMap<String, String>,
}

/// A user of it. Clones are the same user.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) email: &'static str,
    session: Arc<RwLock<Session>>,
    alive: Arc<AtomicBool>,
}

impl User {
    pub(super) fn new(email: &'static str) -> Self {
        Self {
            email,
            session: Arc::default(),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Notes whether the user's grant is alive, so that a refusal can be judged.
    pub(super) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::SeqCst);
    }

    fn session(&self) -> Session {
        self.session
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_session(&self, session: Session) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }
}

/// The aggregator's pod.
#[derive(Debug)]
pub(super) struct Aggregator {
    pace: Pace,
    exchanges_itself: bool,
    servers: Vec<String>,
    client: Arc<Client>,
    listeners: JoinSet<()>,
    calls: JoinSet<()>,
}

/// What every task of it needs.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    gateway: String,
    book: Arc<Book>,
}

impl Aggregator {
    pub(super) fn new<I: Issuer>(
        world: &World<I>,
        pace: Pace,
        exchanges_itself: bool,
        book: Arc<Book>,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let gateway = world.envoy.url();
        Ok(Self {
            pace,
            exchanges_itself,
            servers: world.server_names(),
            client: Arc::new(Client { http, gateway, book }),
            listeners: JoinSet::new(),
            calls: JoinSet::new(),
        })
    }

    /// The user has logged in: tokens are stored as they are, and every remote server's is exchanged once.
    pub(super) async fn log_in<I: Issuer>(
        &self,
        world: &World<I>,
        user: &User,
        login: &Login,
    ) -> anyhow::Result<()> {
        let mut session = Session {
            handle: login.session.clone(),
            id_token: login.tokens.id_token.clone(),
            exchanged: BTreeMap::new(),
        };
        if self.exchanges_itself {
            for server in &self.servers {
                if let Some(token) = exchange(world, server, &session.id_token).await? {
                    session.exchanged.insert(server.clone(), token);
                }
            }
        }
        self.store(world, user, session).await
    }

    /// The user's client came back with a new ID token. The exchanged ones are not renewed.
    pub(super) async fn take_new_id_token<I: Issuer>(
        &self,
        world: &World<I>,
        user: &User,
        login: &Login,
    ) -> anyhow::Result<()> {
        let session = Session {
            id_token: login.tokens.id_token.clone(),
            ..user.session()
        };
        self.store(world, user, session).await
    }

    async fn store<I: Issuer>(&self, world: &World<I>, user: &User, session: Session) -> anyhow::Result<()> {
        let text = serde_json::to_string(&session)?;
        let reply = valkey(world)?.command(&["SET", &key(user.email), &text]).await?;
        ensure!(
            reply.starts_with("+OK"),
            "Valkey did not store a session: {reply}"
        );
        user.set_session(session);
        Ok(())
    }

    /// Opens the user's listeners, one per server; each retries indefinitely.
    pub(super) fn open_listeners(&mut self, user: &User) {
        for server in self.servers.clone() {
            let (client, user, retry) = (self.client.clone(), user.clone(), self.pace.retry);
            self.listeners.spawn(async move {
                loop {
                    client.attempt(&user, &server, Kind::Listener).await;
                    tokio::time::sleep(retry).await;
                }
            });
        }
    }

    /// The user calls a tool of every server, all at once.
    pub(super) fn call_every_server(&mut self, user: &User) {
        for server in self.servers.clone() {
            let (client, user) = (self.client.clone(), user.clone());
            self.calls.spawn(async move {
                client.attempt(&user, &server, Kind::Call).await;
            });
        }
    }

    /// The pod is gone, and with it all that was not in Valkey. Calls are awaited before: a call without an answer failed.
    pub(super) async fn end(&mut self, users: &[&User]) {
        while self.calls.join_next().await.is_some() {}
        self.listeners.shutdown().await;
        for user in users {
            user.set_session(Session::default());
        }
    }

    /// The pod is back: it reads the user's session and reconnects to every server.
    pub(super) async fn begin_again<I: Issuer>(
        &mut self,
        world: &World<I>,
        user: &User,
    ) -> anyhow::Result<()> {
        // As a status reply the record comes in one line.
        let script = "return {ok = redis.call('GET', KEYS[1])}";
        let reply = valkey(world)?
            .command(&["EVAL", script, "1", &key(user.email)])
            .await?;
        let text = reply.strip_prefix('+').context("the session is gone")?;
        user.set_session(serde_json::from_str(text.trim_end())?);
        self.open_listeners(user);
        Ok(())
    }
}

impl Client {
    /// One request with what the session has, and all of its answer. Failures are only written down: the next retry or
    /// the next click of the user comes as if nothing had been.
    async fn attempt(&self, user: &User, server: &str, kind: Kind) {
        let alive = user.alive.load(Ordering::SeqCst);
        // The patience is for an answer's head: a stream may last.
        let request = self.request(&user.session(), server, kind).send();
        let answer = tokio::time::timeout(PATIENCE, request).await;
        let at = self.book.now();
        let (status, by_gateway) = match answer {
            Ok(Ok(mut answer)) if answer.status().is_success() => {
                self.write(user, server, kind, (at, answer.status().as_u16(), false, alive));
                // A stream that breaks off is opened again like one that ends.
                while let Ok(Some(_)) = answer.chunk().await {}
                return;
            }
            Ok(Ok(answer)) => {
                let status = answer.status().as_u16();
                let body: serde_json::Value = answer.json().await.unwrap_or_default();
                (status, body["refusal"].is_string())
            }
            Ok(Err(_)) | Err(_) => (0, false),
        };
        self.write(user, server, kind, (at, status, by_gateway, alive));
    }

    fn request(&self, session: &Session, server: &str, kind: Kind) -> reqwest::RequestBuilder {
        let url = format!("{}/{server}/mcp", self.gateway);
        let token = session.exchanged.get(server).unwrap_or(&session.id_token);
        let request = match kind {
            Kind::Listener => self.http.get(url).header("accept", "text/event-stream"),
            Kind::Call => self
                .http
                .post(url)
                .timeout(PATIENCE)
                .header("accept", "application/json, text/event-stream")
                .json(&json!({
                    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                    "params": {"name": "echo", "arguments": {"text": "hello"}},
                })),
        };
        request
            .bearer_auth(token)
            .header("x-tokenward-session", &session.handle)
    }

    fn write(
        &self,
        user: &User,
        server: &str,
        kind: Kind,
        (at, status, by_gateway, alive): (Duration, u16, bool, bool),
    ) {
        self.book.write(Attempt {
            at,
            user: user.email,
            server: server.to_owned(),
            kind,
            status,
            by_gateway,
            alive,
        });
    }
}

/// The server's own token for an ID token; `None` for the server that takes the ID token itself.
async fn exchange<I: Issuer>(
    world: &World<I>,
    server: &str,
    id_token: &str,
) -> anyhow::Result<Option<String>> {
    let Some(client) = world.exchange_client(server) else {
        return Ok(None);
    };
    let form = [
        ("grant_type", EXCHANGE),
        ("client_id", &client.id),
        ("client_secret", &client.secret),
        ("connector_id", CONNECTOR),
        ("subject_token", id_token),
        ("subject_token_type", ID_TOKEN),
        ("requested_token_type", ID_TOKEN),
        ("scope", "openid profile email groups"),
    ];
    let answer = http_client()
        .post(world.remote.token_endpoint())
        .form(&form)
        .send()
        .await?
        .error_for_status()?;
    let answer: serde_json::Value = answer.json().await?;
    let token = answer["access_token"].as_str().context("no token")?;
    Ok(Some(token.to_owned()))
}

fn key(email: &str) -> String {
    format!("aggregator:session:{email}")
}

fn valkey<I>(world: &World<I>) -> anyhow::Result<&Valkey> {
    world.valkey.as_ref().context("this world has no Valkey")
}
