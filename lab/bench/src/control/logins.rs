//! Logins of MCP clients at control's authorization server: refreshes at the token endpoint, and what a login takes in the
//! store.
//!
//! A login is written as control writes it: a session ([`Sessions::put`]) and a code ([`Codes`]), by control's own code with the
//! sealing key of the called service, which then redeems the code.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Digest as _;
use tokenward_control::authorization::client::{AuthenticationMethod, ClientOfLogin};
use tokenward_control::authorization::code::Codes;
use tokenward_control::authorization::login::AuthorizedLogin;
use tokenward_control::context::Context;
use tokenward_control::session::Sessions;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::load::{Client, Until, closed_loop};
use super::people::{SERVER, configuration, start};
use super::raw::Raw;
use super::sizes::{Kept, context, put, sessions_of, subject};
use super::stage::{Measurement, Stage, on};
use crate::statistics::rounded;
use crate::wire::Connection;
use tokenward_harness::issuer::{FakeDex, http_client};
use tokenward_harness::parts::{ControlConfig, Metrics};

/// What is measured, and the raw GETs of as many callers.
pub(super) const LOGINS: [(&str, &str); 2] =
    [("login_refresh_one", "raw_get_one"), ("login_refresh", "raw_get")];

/// The authorization server's host. Requests name it and go to control's own address.
const HOST: &str = "mcp.example.com";
const RESOURCE: &str = "https://mcp.example.com/forward/mcp";
const CLIENT_ID: &str = "bench";
const REDIRECT_URI: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "a-verifier-of-the-benchmark-that-is-long-enough";
/// Logins of the store that is measured.
const STORED: u64 = 2_000;
/// Users of these logins are none of the benchmark's other people.
const FIRST_USER: u64 = 1 << 40;

/// A control service that is an authorization server too.
pub(super) fn with_authorization(mut config: ControlConfig) -> anyhow::Result<ControlConfig> {
    for server in &mut config.servers {
        server.resource = Some(RESOURCE.to_owned());
    }
    let key = tokenward_control::authorization::access_token::generate()?;
    let key = secrecy::ExposeSecret::expose_secret(&key).as_bytes().to_vec();
    config.files.push(("signing-key".to_owned(), key));
    let configured = json!({"client_id": CLIENT_ID, "name": "Benchmark", "redirect_uris": [REDIRECT_URI]});
    Ok(config.setting(
        "authorization",
        json!({
            "issuer": format!("https://{HOST}"), "signing_keys": {"current": {"file": "@signing-key"}},
            "clients": {"configured": [configured]},
        }),
    ))
}

/// One login's client at the token endpoint.
pub(super) struct Refresher {
    connection: Connection,
    refresh_token: Arc<Mutex<String>>,
}

/// What is read of an answer.
#[derive(Deserialize)]
struct Tokens {
    refresh_token: String,
}

impl Refresher {
    /// Presents the newest refresh token, and keeps the next one.
    pub(super) async fn refresh(&mut self) -> anyhow::Result<()> {
        let present = self
            .refresh_token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let form = format!("grant_type=refresh_token&client_id={CLIENT_ID}&refresh_token={present}");
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{form}",
            form.len()
        );
        let (status, body) = self.connection.exchange_for_body(request.as_bytes()).await?;
        ensure!(status == 200, "the token endpoint answered {status}");
        let next = serde_json::from_slice::<Tokens>(body)?.refresh_token;
        ensure!(next != present, "the refresh token was not rotated");
        *self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }
}

/// Logins at the first replica of a stage, one for each caller.
pub(super) struct Logins {
    address: SocketAddr,
    refresh_tokens: Vec<Arc<Mutex<String>>>,
}

impl Logins {
    /// Makes so many.
    ///
    /// # Errors
    /// When control does not give tokens.
    pub(super) async fn make(stage: &Stage, count: usize, like: &str) -> anyhow::Result<Self> {
        let writer = Writer::of(&stage.config, &stage.raw, Kept::of(&stage.dex, like)?).await?;
        let address = stage.replicas[0].address;
        let mut refresh_tokens = Vec::with_capacity(count);
        for number in 0..count as u64 {
            refresh_tokens.push(Arc::new(Mutex::new(writer.log_in(address, number).await?)));
        }
        Ok(Self {
            address,
            refresh_tokens,
        })
    }

    /// So many callers, each with a login of its own, refresh for this long.
    ///
    /// # Errors
    /// When one answer is anything but the next tokens, or the issuer was asked.
    pub(super) async fn refreshed(
        &self,
        stage: &Stage,
        callers: usize,
        round: Duration,
    ) -> anyhow::Result<Measurement> {
        let mut clients = Vec::with_capacity(callers);
        for refresh_token in self.refresh_tokens.iter().take(callers) {
            clients.push(Client::Refresh(Refresher {
                connection: Connection::open(self.address).await?,
                refresh_token: Arc::clone(refresh_token),
            }));
        }
        let before = (self.counted().await?, stage.dex.counts().refreshes_presented);
        let begun = stage.moment()?;
        let done = closed_loop(clients, Until::Elapsed(round)).await?;
        let used = begun.until(stage.moment()?);
        let after = (self.counted().await?, stage.dex.counts().refreshes_presented);
        ensure!(
            (after.0 - before.0, after.1 - before.1) == (done.requests, 0),
            "{} requests: {before:?} became {after:?}",
            done.requests
        );
        Ok(Measurement { done, used })
    }

    /// Refreshes that control has answered with new tokens.
    async fn counted(&self) -> anyhow::Result<u64> {
        let answer = http_client()
            .get(format!("http://{}/metrics", self.address))
            .send()
            .await?;
        let metrics = Metrics::read(&answer.error_for_status()?.text().await?);
        let labels = [("endpoint", "token"), ("outcome", "refreshed")];
        Ok(metrics.count("tokenward_authorization_requests_total", &labels))
    }
}

/// Writes logins as control does.
struct Writer {
    context: Context,
    sessions: Sessions,
    kept: Kept,
}

impl Writer {
    async fn of(config: &ControlConfig, raw: &Raw, kept: Kept) -> anyhow::Result<Self> {
        let (id, key) = &config.sealing_key;
        let context = context(raw.valkey.url(), id, key).await?;
        Ok(Self {
            sessions: sessions_of(&context),
            context,
            kept,
        })
    }

    /// The refresh token of a login of the user with a number.
    async fn log_in(&self, address: SocketAddr, number: u64) -> anyhow::Result<String> {
        let session = format!("{number:032x}");
        put(&self.sessions, &self.kept, FIRST_USER + number, &session).await?;
        let login = AuthorizedLogin {
            client: ClientOfLogin {
                id: CLIENT_ID.to_owned(),
                authentication: AuthenticationMethod::None,
            },
            client_name: "Benchmark".to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            code_challenge: URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER)),
            server: SERVER.to_owned(),
            resource: RESOURCE.to_owned(),
            scope: vec!["mcp".to_owned()],
            subject: subject(FIRST_USER + number),
            session: session.into(),
            logged_in_at_ms: self.context.clock.now_ms(),
        };
        let code = Codes::new(self.context.clone()).issue(&login).await?;
        let answer = http_client()
            .post(format!("http://{address}/token"))
            .header("host", HOST)
            .form(&[
                ("grant_type", "authorization_code"),
                ("client_id", CLIENT_ID),
                ("code", secrecy::ExposeSecret::expose_secret(&code)),
                ("redirect_uri", REDIRECT_URI),
                ("code_verifier", VERIFIER),
            ])
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{status} for a code: {text}");
        Ok(serde_json::from_str::<Tokens>(&text)?.refresh_token)
    }
}

/// What a login takes in the store.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LoginSize {
    logins: u64,
    /// What Valkey allocated for each: session, grant and refresh tokens, without the used code, which is kept ten minutes.
    bytes_per_login: f64,
    /// An ID token and a refresh token of the issuer.
    token_bytes: usize,
}

impl LoginSize {
    /// Fills a Valkey of its own.
    ///
    /// # Errors
    /// When something is missing, or a login fails.
    pub(super) async fn measure(dex: &FakeDex, like: &str) -> anyhow::Result<Self> {
        let raw = Raw::start().await?;
        let config = with_authorization(ControlConfig {
            store: on(&raw),
            ..configuration(dex)?
        })?;
        let (_control, service) = start(config.clone()).await?;
        let writer = Writer::of(&config, &raw, Kept::of(dex, like)?).await?;
        // What the first one brings along, scripts for one, belongs to no login.
        writer.log_in(service.address, STORED).await?;
        raw.delete("*login_code*").await?;
        let before = raw.used_bytes().await?;
        for number in 0..STORED {
            writer.log_in(service.address, number).await?;
        }
        let codes = raw.delete("*login_code*").await?;
        ensure!(codes == STORED, "{codes} codes of {STORED} logins");
        let bytes = raw
            .used_bytes()
            .await?
            .checked_sub(before)
            .context("a store that shrank")?;
        Ok(Self {
            logins: STORED,
            bytes_per_login: rounded(bytes as f64 / STORED as f64),
            token_bytes: writer.kept.bytes(),
        })
    }

    /// As one line.
    pub(super) fn line(&self) -> String {
        format!(
            "\n{} logins of MCP clients: {:.0} bytes each, {} of them tokens of the issuer ({:.2} times)",
            self.logins,
            self.bytes_per_login,
            self.token_bytes,
            self.bytes_per_login / self.token_bytes as f64
        )
    }
}
