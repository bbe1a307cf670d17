//! The tokens: as Dex makes them, signed with RS256, about 1.1 KB with groups.

use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokenward_protocol::filter_state::{FilterState, STATE_PATH, ServerList};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TokenAnswer, TokenRequest};

use super::lanes::HOST;
use super::wire::{Incoming, Responder};
use tokenward_control::authorization::access_token::{self, AccessTokenClaims, SigningKeys};
use tokenward_control::clock::{Clock as _, SystemClock};
use tokenward_control::config::SigningKeysConfig;
use tokenward_harness::issuer::{DexConfig, DexUser, FakeDex, IssuerClock, http_client};
use tokenward_harness::parts::tools;

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
/// The audience that the forwarding server requires.
pub(super) const CLIENT: &str = "muster";
/// The issuer identifier of control's authorization server.
pub(super) const AUTHORIZATION_SERVER: &str = "https://mcp.example.com";
/// The server at which clients present access tokens.
pub(super) const LOGIN_RESOURCE: &str = "https://mcp.example.com/login/mcp";
/// The audience that the exchanging server requires.
pub(super) const REMOTE_CLIENT: &str = "kube";
/// The forwarding server.
pub(super) const SERVER: &str = "forward";
/// Where control's stand-in serves the filter's module, and the floor's in its place.
const MODULE_PATH: &str = "/filter/tokenward.wasm";
pub(super) const FLOOR_PATH: &str = "/filter/floor.wasm";
/// Longer than a token lives.
const A_DAY_AND_MORE: Duration = Duration::from_secs(25 * 3600);

/// Everything that the benchmark presents, or control answers.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    /// The home issuer.
    pub(super) issuer: String,
    /// The remote issuer.
    pub(super) remote_issuer: String,
    /// The home issuer's public keys.
    pub(super) jwks: String,
    /// A fresh token.
    pub(super) fresh: String,
    /// An expired token of a live session: control has a fresh one.
    pub(super) stale: String,
    /// An expired token of an ended session: control refuses.
    pub(super) ended: String,
    /// An access token of control's authorization server, for the server `login`.
    pub(super) access: String,
    /// What control gives for the stale token, and for the access token.
    pub(super) refreshed: String,
    /// What control gives for the fresh token at the exchanging server.
    pub(super) exchanged: String,
}

impl Tokens {
    /// Has two issuers make them; the issuers are gone afterwards.
    pub(super) async fn make() -> anyhow::Result<Self> {
        let clock = IssuerClock::default();
        let mut config = DexConfig::default().clock(&clock);
        config.users = [ALICE, BOB]
            .map(|user| DexUser::new(user).with_many_groups())
            .to_vec();
        let (home, remote) = (
            FakeDex::start(config.clone()).await?,
            FakeDex::start(config).await?,
        );
        clock.rewind(A_DAY_AND_MORE);
        let (stale, ended) = (home.log_in(ALICE, CLIENT).await?, home.log_in(BOB, CLIENT).await?);
        clock.advance(A_DAY_AND_MORE);
        let keys = http_client().get(home.jwks_uri()).send().await?;
        let refreshed = home.log_in(ALICE, CLIENT).await?.id_token;
        Ok(Self {
            access: access_token(&refreshed)?,
            issuer: home.issuer().to_owned(),
            remote_issuer: remote.issuer().to_owned(),
            jwks: keys.error_for_status()?.text().await?,
            fresh: home.log_in(ALICE, CLIENT).await?.id_token,
            stale: stale.id_token,
            ended: ended.id_token,
            refreshed,
            exchanged: remote.log_in(ALICE, REMOTE_CLIENT).await?.id_token,
        })
    }

    /// Control with these answers and no work behind them: what control costs is no part of the data path. Besides tokens it
    /// gives the filter its state, and Envoy Gateway the modules.
    pub(super) async fn endpoint(&self) -> anyhow::Result<Responder> {
        let refreshed = answer(&self.refreshed)?;
        let exchanged = answer(&self.exchanged)?;
        let refused = refused()?;
        let stale = self.stale.clone();
        let documents = [
            (STATE_PATH, self.state()),
            (MODULE_PATH, std::fs::read(tools::filter_module()?)?),
            (FLOOR_PATH, std::fs::read(tools::baseline_module()?)?),
        ]
        .map(|(path, document)| (format!("GET {path}"), bytes_answer(&document)));
        Responder::start(move |request: Incoming<'_>| {
            let asked_for = documents
                .iter()
                .find(|(begin, _)| request.head.starts_with(begin.as_bytes()));
            if let Some((_, document)) = asked_for {
                return document.clone();
            }
            let Ok(asked) = TokenRequest::from_form(request.body) else {
                return refused.clone();
            };
            let presented = asked.subject_token.expose_secret();
            match asked.server.as_str() {
                "exchange" => exchanged.clone(),
                "login" => refreshed.clone(),
                _ if presented == stale => refreshed.clone(),
                _ => refused.clone(),
            }
        })
        .await
    }
}

impl Tokens {
    /// What the filter polls every two seconds: the list of servers, and that no login has ended.
    fn state(&self) -> Vec<u8> {
        let auth = json!({"kind": "forward", "issuer": self.issuer, "required_audiences": [CLIENT]});
        let servers = json!({"servers": [
            {"name": SERVER, "host": HOST, "path_prefix": format!("/{SERVER}"), "auth": auth},
        ]})
        .to_string();
        let servers = ServerList {
            version: 1,
            json: servers.as_bytes(),
        };
        FilterState {
            version: 1,
            has_more: false,
            servers: Some(servers),
            sign_outs: Vec::new(),
        }
        .encode()
    }
}

/// An access token of the user of `id_token`, as control signs it.
fn access_token(id_token: &str) -> anyhow::Result<String> {
    let claims = Claims::read(id_token.as_bytes())
        .ok()
        .context("a token of Dex is well-formed")?;
    let keys = SigningKeys::from_config(&SigningKeysConfig {
        current: access_token::generate()?,
        next: None,
    })?;
    let issued_at_seconds = SystemClock.now_ms() / 1000;
    let signed = keys.sign(&AccessTokenClaims {
        issuer: AUTHORIZATION_SERVER.to_owned(),
        subject: claims.subject,
        audience: LOGIN_RESOURCE.to_owned(),
        client_id: "https://client.example.com/oauth/client-metadata.json".to_owned(),
        scope: "mcp offline_access".to_owned(),
        issued_at_seconds,
        expires_at_seconds: issued_at_seconds + 3600,
        id: "5f2c1a4a0e7b2f4c529a775a1f0d9be0".to_owned(),
        session: "2c1a4a0e7b2f4c529a775a1f0d9be001".to_owned().into(),
    });
    Ok(signed.expose_secret().to_owned())
}

/// Control's answer with this token.
pub(super) fn answer(token: &str) -> anyhow::Result<Vec<u8>> {
    let exp_seconds = Claims::read(token.as_bytes())
        .ok()
        .context("a token of Dex is well-formed")?
        .exp_seconds;
    let body = TokenAnswer {
        access_token: token.to_owned(),
        issued_token_type: tokenward_protocol::token_endpoint::TOKEN_TYPE_ID_TOKEN.to_owned(),
        token_type: "Bearer".to_owned(),
        expires_in: 3600,
        expires_at: exp_seconds,
    };
    Ok(http_answer("200 OK", &serde_json::to_string(&body)?))
}

fn refused() -> anyhow::Result<Vec<u8>> {
    let refusal = Refusal::NeedsLogin;
    let body = json!({
        "error": refusal.control_error(), "error_description": refusal.description(), "refusal": refusal.name(),
    });
    Ok(http_answer("400 Bad Request", &body.to_string()))
}

fn bytes_answer(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\n{MARKER_HEADER}: bench\r\ncontent-type: application/octet-stream\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn http_answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{MARKER_HEADER}: bench\r\ncontent-type: application/json\r\n\
         cache-control: no-store\r\ncontent-length: {length}\r\n\r\n"
    );
    (head + body).into_bytes()
}
