//! The aggregator as it behaved: it stores tokens without an expiry, renews none of them, finds its sessions again in
//! Valkey after a restart, and has a listener per session and server that retries every second, whatever the answer. An
//! unmodified one of today does the same, but for refreshing near expiry on a user's call.

mod renewal;
mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::book::{Attempt, Book, Kind};
use super::{Column, Pace};
use renewal::TokenEndpoint;
use tokenward_harness::issuer::{Issuer, http_client};
use tokenward_harness::parts::ValkeyClient;
use tokenward_harness::world::{CONNECTOR, Login, World};
use user::Session;
pub(super) use user::User;

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Longer than any pause of the filter. What is not answered by then has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// The aggregator's pod.
#[derive(Debug)]
pub(super) struct Aggregator {
    pace: Pace,
    column: Column,
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
    valkey: ValkeyClient,
    column: Column,
    /// Of an aggregator that refreshes by itself.
    token_endpoint: Option<TokenEndpoint>,
    book: Arc<Book>,
}

impl Aggregator {
    pub(super) fn new<I: Issuer>(
        world: &World<I>,
        pace: Pace,
        column: Column,
        book: Arc<Book>,
    ) -> anyhow::Result<Self> {
        let valkey = world.valkey.as_ref().context("this world has no Valkey")?;
        let endpoint =
            || TokenEndpoint::new(world.token_endpoint().to_owned(), pace.refreshed_before_expiry());
        let client = Client {
            http: reqwest::Client::builder().no_proxy().build()?,
            gateway: world.envoy.url(),
            valkey: valkey.client(),
            column,
            token_endpoint: column.is_unmodified().then(endpoint),
            book,
        };
        Ok(Self {
            pace,
            column,
            servers: world.server_names(),
            client: Arc::new(client),
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
            refresh_token: login.tokens.refresh_token.clone(),
            exchanged: BTreeMap::new(),
        };
        if self.column.exchanges_itself() {
            for server in &self.servers {
                if let Some(token) = exchange(world, server, &session.id_token).await? {
                    session.exchanged.insert(server.clone(), token);
                }
            }
        }
        self.store(user, session).await
    }

    /// The user's client came back with a new ID token. The exchanged ones are not renewed.
    pub(super) async fn take_new_id_token(&self, user: &User, login: &Login) -> anyhow::Result<()> {
        let session = Session {
            id_token: login.tokens.id_token.clone(),
            refresh_token: login.tokens.refresh_token.clone(),
            ..user.session()
        };
        self.store(user, session).await
    }

    async fn store(&self, user: &User, session: Session) -> anyhow::Result<()> {
        // A refresh that is under way is of the tokens of before.
        let _one_at_a_time = user.refreshing.lock().await;
        session.store(&self.client.valkey, user.email).await?;
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
        let (client, user, servers) = (self.client.clone(), user.clone(), self.servers.clone());
        self.calls.spawn(async move {
            client.refresh_near_expiry(&user).await;
            let mut calls = JoinSet::new();
            for server in servers {
                let (client, user) = (client.clone(), user.clone());
                calls.spawn(async move { client.attempt(&user, &server, Kind::Call).await });
            }
            calls.join_all().await;
        });
    }

    /// Whether an aggregator that refreshes by itself can still refresh the user's login.
    pub(super) async fn can_refresh(&self, user: &User) -> bool {
        self.client.can_refresh(user).await
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
    pub(super) async fn begin_again(&mut self, user: &User) -> anyhow::Result<()> {
        user.set_session(Session::read(&self.client.valkey, user.email).await?);
        self.open_listeners(user);
        Ok(())
    }
}

impl Client {
    /// One request with what the session has, and all of its answer. Failures are only written down: the next retry or
    /// the next click of the user comes as if nothing had been.
    async fn attempt(&self, user: &User, server: &str, kind: Kind) {
        let alive = user.is_alive();
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
        let is_of_2026 = self.column.is_unmodified() && speaks_2026(server);
        let (method, params) = match kind {
            Kind::Listener => (
                "subscriptions/listen",
                json!({"notifications": {"toolsListChanged": true}}),
            ),
            Kind::Call => (
                "tools/call",
                json!({"name": "echo", "arguments": {"text": "hello"}}),
            ),
        };
        let request = match kind {
            Kind::Listener if !is_of_2026 => self.http.get(url).header("accept", "text/event-stream"),
            Kind::Listener => post(self.http.post(url), method, &params),
            Kind::Call => post(self.http.post(url).timeout(PATIENCE), method, &params),
        };
        let request = match is_of_2026 {
            true => request
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", method),
            false => request,
        };
        let request = request.bearer_auth(token);
        match self.column.is_unmodified() {
            true => request,
            false => request.header("x-tokenward-session", &session.handle),
        }
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

/// Whether a server is spoken to as MCP 2026-07-28 has it: every other remote one.
fn speaks_2026(server: &str) -> bool {
    let number = server.rsplit('-').next().map(str::parse::<usize>);
    number.is_some_and(|number| number.is_ok_and(|number| number.is_multiple_of(2)))
}

fn post(request: reqwest::RequestBuilder, method: &str, params: &Value) -> reqwest::RequestBuilder {
    request
        .header("accept", "application/json, text/event-stream")
        .json(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
}
