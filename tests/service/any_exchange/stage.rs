//! A home issuer with its control service, and a remote issuer whose answers a test writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, FakeDex, IssuerClock, TokenDraft};
use tokenward_harness::parts::{LoopbackServer, LoopbackSocket};
use tokenward_harness::secrets;

use crate::deployment::{ADMIN, Deployment, Plan, TokenCall};

/// How long home tokens live, in seconds.
pub(super) const LIFE_SECONDS: u64 = 300;
/// The client that exchanges.
pub(super) const CLIENT: &str = "exchanger";
const SECRET: &str = "ex+change/secret%=";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// A request that the remote issuer received.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) authorization: String,
    pub(super) form: Vec<(String, String)>,
}

impl Received {
    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.form.iter().filter(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str()).collect()
    }
}

#[derive(Default)]
struct Script {
    exchange: (u16, Value),
    introspection: (u16, Value),
    received: Vec<Received>,
}

type Shared = Arc<Mutex<Script>>;

/// The remote issuer: its token and introspection endpoints answer as a test has it; keys and discovery are a fake Dex's.
pub(super) struct Remote {
    issuer: FakeDex,
    script: Shared,
    _server: LoopbackServer,
}

async fn answer(State(script): State<Shared>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let mut script = lock(&script);
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let form: Vec<(String, String)> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    script.received.push(Received {
        path: uri.path().to_owned(),
        authorization: authorization.unwrap_or_default().to_owned(),
        form,
    });
    let (status, body) = match uri.path() {
        "/introspect" => script.introspection.clone(),
        _ => script.exchange.clone(),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}

fn lock(script: &Shared) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// What exchanges are answered with from now on.
    pub(super) fn answers(&self, status: u16, body: Value) {
        if let Some(token) = body["access_token"].as_str() {
            secrets::note(token);
        }
        lock(&self.script).exchange = (status, body);
    }

    /// Exchanges are answered with this token of this type.
    pub(super) fn gives(&self, token: &str, issued_token_type: &str) {
        let body = json!({
            "access_token": token, "issued_token_type": issued_token_type, "token_type": "Bearer", "expires_in": 300,
        });
        self.answers(200, body);
    }

    /// What introspections are answered with from now on.
    pub(super) fn introspects(&self, status: u16, body: Value) {
        lock(&self.script).introspection = (status, body);
    }

    /// The requests to `path` so far.
    pub(super) fn received(&self, path: &str) -> Vec<Received> {
        let script = lock(&self.script);
        let at_path = script.received.iter().filter(|request| request.path == path);
        at_path.cloned().collect()
    }

    /// How many exchanges were requested.
    pub(super) fn exchanges(&self) -> usize {
        self.received("/token").len()
    }

    /// A good access token of the user, to be changed.
    pub(super) fn access_token(&self) -> TokenDraft {
        let draft = self.issuer.mint(ADMIN, "api").header("typ", "at+jwt");
        draft.claim("client_id", CLIENT)
    }

    /// The issuer's identifier.
    pub(super) fn issuer(&self) -> &str {
        self.issuer.issuer()
    }
}

/// A login at home, and a remote issuer for the server `remote`.
pub(super) struct Pair {
    pub(super) home: Deployment,
    pub(super) remote: Remote,
}

impl Pair {
    /// `exchange` is added to the server's `tokenExchange`.
    pub(super) async fn start(exchange: Value) -> anyhow::Result<Self> {
        Self::start_with(exchange, |dex| dex).await
    }

    /// The same with a change of the remote issuer, and so of its discovery document.
    pub(super) async fn start_with(
        exchange: Value,
        change: impl FnOnce(DexConfig) -> DexConfig,
    ) -> anyhow::Result<Self> {
        let clock = IssuerClock::default();
        let life = Duration::from_secs(LIFE_SECONDS);
        let of_clock = || DexConfig::default().clock(&clock).id_token_lifetime(life);
        let socket = LoopbackSocket::bind().await?;
        let address = format!("http://{}", socket.address());
        let document = of_clock().discovery("introspection_endpoint", json!(format!("{address}/introspect")));
        let issuer = FakeDex::start(change(document)).await?;
        let script = Shared::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&script));
        let remote = Remote {
            issuer,
            script,
            _server: socket.serve(router, Arc::default()),
        };
        let mut block = json!({
            "enabled": true, "dialect": "standard", "subject": "id_token",
            "tokenEndpoint": format!("{address}/token"), "expectedIssuer": remote.issuer(),
            "clientCredentials": {"clientId": CLIENT, "clientSecret": {"file": "@exchanger"}},
        });
        if let (Some(block), Some(more)) = (block.as_object_mut(), exchange.as_object()) {
            block.extend(more.clone());
        }
        let auth = json!({"type": "oauth", "requiredAudiences": ["api"], "tokenExchange": block});
        let plan = Plan {
            servers: vec![json!({"name": "remote", "auth": auth})],
            secrets: vec![("exchanger".to_owned(), SECRET.to_owned())],
            ..Plan::default()
        };
        let home = Deployment::start_beside(plan, FakeDex::start(of_clock()).await?).await?;
        Ok(Self { home, remote })
    }

    /// The filter's question for a new login's token at `remote`.
    pub(super) async fn logged_in(&self) -> anyhow::Result<TokenCall> {
        let login = self.home.log_in("s-1").await?;
        Ok(self.home.ask(&login.id_token).session("s-1").server("remote"))
    }
}
