//! An aggregator that knows nothing of Tokenward: it logs users in at the issuer, refreshes by itself, and presents what
//! it has. What it sends was counted on an unmodified muster v1.7.8.
//!
//! - One token of the issuer per user, under one lock; refreshed near its expiry when the user calls. An idle user's is not.
//! - Its process finds the token endpoint by discovery, once. The first call there shows the client's secret in the header,
//!   and after any error the same request follows at once with the secret in the body. It gives up after ten seconds.
//! - Every answer must have an access token, with which it calls the issuer's userinfo endpoint.
//! - After an issuer's refusal (4xx) the user must log in again; after anything else it presents what it has.
//! - A listener comes once a second with the header it began with. A sign-out reaches no other party.

mod listener;
mod token_client;

pub use listener::Listener;
pub use token_client::{NoTokens, Tokens};

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::browser::{Browser, CodeLogin};
use crate::issuer::http_client;
use crate::issuer::jose::Jws;
use crate::secrets;
use crate::world::Answer;
use token_client::{Style, TokenClient};

/// How long a call of a tool may take.
const CALL_PATIENCE: Duration = Duration::from_secs(60);
/// The two forms of one request come so soon after each other.
const BETWEEN_TWO_FORMS: Duration = Duration::from_millis(1);

/// What the aggregator is configured with.
#[derive(Debug, Clone)]
pub struct AggregatorConfig {
    /// The issuer; endpoints come from its discovery document.
    pub issuer: String,
    /// The client and its secret.
    pub client: (String, String),
    /// The client's redirect.
    pub redirect_uri: String,
    /// Scopes of a login.
    pub scope: String,
    /// `http://HOST:PORT` of the gateway before the MCP servers.
    pub gateway: String,
    /// With less life than this a token is refreshed before it is used.
    pub refresh_ahead: Duration,
    /// A token endpoint that it was configured with instead of the one of the discovery document.
    pub token_endpoint: Option<String>,
}

/// What it has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AggregatorCounts {
    /// Refreshes that gave tokens.
    pub refreshed: usize,
    /// Refreshes that the issuer refused: the user must log in again.
    pub refused: usize,
    /// Refreshes without an outcome.
    pub unavailable: usize,
}

/// A running aggregator.
#[derive(Debug)]
pub struct Aggregator {
    config: AggregatorConfig,
    http: reqwest::Client,
    /// What its store holds: it outlives a restart.
    users: Mutex<HashMap<String, Arc<User>>>,
    process: AggregatorProcess,
    refreshed: AtomicUsize,
    refused: AtomicUsize,
    unavailable: AtomicUsize,
}

/// What a restart forgets.
#[derive(Debug)]
struct AggregatorProcess {
    token_endpoint: String,
    user_info_endpoint: String,
    client: Arc<TokenClient>,
}

/// One user; the lock is held over a refresh.
#[derive(Debug, Default)]
struct User(tokio::sync::Mutex<Option<Tokens>>);

impl Aggregator {
    /// Starts it.
    ///
    /// # Errors
    /// When the issuer has no discovery document.
    pub async fn start(config: AggregatorConfig) -> anyhow::Result<Self> {
        Ok(Self {
            process: AggregatorProcess::start(&config).await?,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(CALL_PATIENCE)
                .build()?,
            config,
            users: Mutex::default(),
            refreshed: AtomicUsize::default(),
            refused: AtomicUsize::default(),
            unavailable: AtomicUsize::default(),
        })
    }

    /// Ends its process and starts another: the store stays, and what it found out is forgotten.
    ///
    /// # Errors
    /// When the issuer has no discovery document.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = AggregatorProcess::start(&self.config).await?;
        Ok(())
    }

    /// What it has done so far.
    pub fn counts(&self) -> AggregatorCounts {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        AggregatorCounts {
            refreshed: count(&self.refreshed),
            refused: count(&self.refused),
            unavailable: count(&self.unavailable),
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Arc<User>>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn user(&self, email: &str) -> Arc<User> {
        Arc::clone(self.users().entry(email.to_owned()).or_default())
    }

    /// From now on it calls this token endpoint, whatever the discovery document names.
    pub fn fix_token_endpoint(&mut self, endpoint: &str) {
        self.config.token_endpoint = Some(endpoint.to_owned());
        endpoint.clone_into(&mut self.process.token_endpoint);
    }

    /// The user logs in with a browser.
    ///
    /// # Errors
    /// When the issuer refuses.
    pub async fn log_in(&self, email: &str) -> anyhow::Result<()> {
        let login = CodeLogin {
            issuer: &self.config.issuer,
            client_id: &self.config.client.0,
            client_secret: &self.config.client.1,
            redirect_uri: &self.config.redirect_uri,
            scope: &self.config.scope,
        };
        let code = login.code(&Browser::new()?, email).await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.code.as_str()),
            ("redirect_uri", &self.config.redirect_uri),
            ("code_verifier", &code.verifier),
        ];
        let process = &self.process;
        let tokens = match process.client.call(&process.token_endpoint, &form).await {
            Ok(tokens) => tokens,
            Err(none) => bail!("no tokens for the code: {none:?}"),
        };
        ensure!(tokens.refresh_token.is_some(), "a login without a refresh token");
        self.ask_user_info(&tokens).await?;
        *self.user(email).0.lock().await = Some(tokens);
        Ok(())
    }

    /// Whether it still has tokens of the user: else the user must log in again.
    pub async fn is_logged_in(&self, email: &str) -> bool {
        self.user(email).0.lock().await.is_some()
    }

    /// The tokens it has of a user.
    ///
    /// # Errors
    /// When the user must log in.
    pub async fn tokens(&self, email: &str) -> anyhow::Result<Tokens> {
        let tokens = self.user(email).0.lock().await.clone();
        tokens.with_context(|| format!("{email} must log in"))
    }

    /// A user calls a tool of a server: refreshed before if that is due. A user who must log in gets 401 from the
    /// aggregator itself.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub async fn call(&self, email: &str, server: &str) -> anyhow::Result<Answer> {
        let Some(bearer) = self.bearer(email).await else {
            return Ok(Answer {
                status: 401,
                headers: http::HeaderMap::new(),
                body: json!({"error": "log in again"}).to_string(),
            });
        };
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": "hello"}},
        });
        let request = self.http.post(self.url(server)).bearer_auth(bearer);
        let answer = request
            .header("accept", "application/json, text/event-stream")
            .json(&body)
            .send()
            .await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await?,
        })
    }

    /// A listener at a server, with the user's present token.
    ///
    /// # Errors
    /// When the user must log in.
    pub async fn listen(&self, email: &str, server: &str) -> anyhow::Result<Listener> {
        let tokens = self.tokens(email).await?;
        Ok(Listener::start(
            self.http.clone(),
            self.url(server),
            tokens.id_token,
        ))
    }

    fn url(&self, server: &str) -> String {
        format!("{}/{server}/mcp", self.config.gateway)
    }

    /// The ID token to present, refreshed if that is due.
    async fn bearer(&self, email: &str) -> Option<String> {
        let user = self.user(email);
        let mut tokens = user.0.lock().await;
        let present = tokens.clone()?;
        if left(&present.id_token) < self.config.refresh_ahead {
            match self.refreshed(&present).await {
                Ok(new) => *tokens = Some(new),
                Err(NoTokens::Refused(..)) => *tokens = None,
                Err(NoTokens::Unavailable(_)) => {}
            }
        }
        tokens.as_ref().map(|tokens| tokens.id_token.clone())
    }

    /// One refresh of what it has, counted.
    async fn refreshed(&self, present: &Tokens) -> Result<Tokens, NoTokens> {
        let refresh_token = present.refresh_token.as_deref().unwrap_or_default();
        let form = refresh_form(refresh_token);
        let process = &self.process;
        let outcome = process.client.call(&process.token_endpoint, &form).await;
        self.count(&outcome);
        let new = with_refresh_token_of(present, outcome?);
        self.ask_user_info(&new)
            .await
            .map_err(|error| NoTokens::Unavailable(error.to_string()))?;
        Ok(new)
    }

    fn count(&self, outcome: &Result<Tokens, NoTokens>) {
        let counter = match outcome {
            Ok(_) => &self.refreshed,
            Err(NoTokens::Refused(..)) => &self.refused,
            Err(NoTokens::Unavailable(_)) => &self.unavailable,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    /// The same refresh token twice, a millisecond apart: first with the secret in the header, then in the body. The first
    /// answer is taken.
    ///
    /// # Errors
    /// When the user must log in, or the endpoint refuses either.
    pub async fn refresh_in_both_forms(&self, email: &str) -> anyhow::Result<[Tokens; 2]> {
        let user = self.user(email);
        let mut tokens = user.0.lock().await;
        let present = tokens.clone().context("must log in")?;
        let refresh_token = present.refresh_token.as_deref().unwrap_or_default();
        let (form, process) = (refresh_form(refresh_token), &self.process);
        let send = |style| process.client.send(&process.token_endpoint, &form, style);
        let second = async {
            tokio::time::sleep(BETWEEN_TWO_FORMS).await;
            send(Style::Body).await
        };
        let (first, second) = tokio::join!(send(Style::Header), second);
        let (Ok(first), Ok(second)) = (&first, &second) else {
            bail!("in the header: {first:?}; in the body: {second:?}");
        };
        let both = [first, second].map(|new| with_refresh_token_of(&present, new.clone()));
        *tokens = Some(both[0].clone());
        Ok(both)
    }

    /// So many refreshes with one token at once, as replicas without a common lock would send them; the outcome of each.
    ///
    /// # Errors
    /// When the user must log in.
    pub async fn refresh_many(
        &self,
        email: &str,
        count: usize,
    ) -> anyhow::Result<Vec<Result<Tokens, NoTokens>>> {
        let user = self.user(email);
        let mut tokens = user.0.lock().await;
        let present = tokens.clone().context("must log in")?;
        let refresh_token = present.refresh_token.clone().unwrap_or_default();
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..count {
            let client = Arc::clone(&self.process.client);
            let (endpoint, token) = (self.process.token_endpoint.clone(), refresh_token.clone());
            under_way.spawn(async move { client.call(&endpoint, &refresh_form(&token)).await });
        }
        let outcomes = under_way.join_all().await;
        outcomes.iter().for_each(|outcome| self.count(outcome));
        if let Some(Ok(new)) = outcomes.iter().find(|outcome| outcome.is_ok()) {
            *tokens = Some(with_refresh_token_of(&present, new.clone()));
        }
        Ok(outcomes)
    }

    async fn ask_user_info(&self, tokens: &Tokens) -> anyhow::Result<()> {
        let request = http_client().get(&self.process.user_info_endpoint);
        let answer = request.bearer_auth(&tokens.access_token).send().await?;
        ensure!(answer.status().is_success(), "userinfo: {}", answer.status());
        Ok(())
    }
}

impl AggregatorProcess {
    async fn start(config: &AggregatorConfig) -> anyhow::Result<Self> {
        let url = format!("{}/.well-known/openid-configuration", config.issuer);
        let answer = http_client().get(url).send().await?.error_for_status()?;
        let document: Value = answer.json().await?;
        let endpoint = |name: &str| {
            let url = document[name].as_str();
            url.map(str::to_owned).with_context(|| format!("no {name}"))
        };
        secrets::note(&config.client.1);
        Ok(Self {
            token_endpoint: match &config.token_endpoint {
                Some(fixed) => fixed.clone(),
                None => endpoint("token_endpoint")?,
            },
            user_info_endpoint: endpoint("userinfo_endpoint")?,
            client: Arc::new(TokenClient::new((&config.client.0, &config.client.1))?),
        })
    }
}

fn refresh_form(refresh_token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
}

/// An answer without a refresh token leaves the present one in use (RFC 6749 §6).
fn with_refresh_token_of(present: &Tokens, new: Tokens) -> Tokens {
    Tokens {
        refresh_token: new.refresh_token.or_else(|| present.refresh_token.clone()),
        ..new
    }
}

/// How long a token still lives, by this machine's clock.
fn left(id_token: &str) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let exp_seconds = Jws::read(id_token).and_then(|jws| jws.exp_seconds()).unwrap_or(0);
    Duration::from_secs(exp_seconds.max(0).unsigned_abs()).saturating_sub(now)
}
