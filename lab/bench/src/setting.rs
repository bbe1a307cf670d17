//! Everything that runs while the data path is measured: Envoy, the upstream, control's and ext_authz's stand-ins.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::{Value, json};

use super::browser_session::{self, ISSUER_CLUSTER};
use super::gateway::{Chain, Gateway, More, filter, wasm_filter};
use super::h2load::H2load;
use super::installed;
use super::lanes::{Evidence, HOST, INSTALLED, Lane};
use super::load::{Done, Load, same_request};
use super::machine::Pinning;
use super::stream::EventServer;
use super::tokens::{AUTHORIZATION_SERVER, CLIENT, LOGIN_RESOURCE, REMOTE_CLIENT, SERVER, Tokens};
use super::wire::{Connection, Responder};
use tokenward_harness::parts::{EnvoyGateway, tools};

/// How long a filter may take to learn its servers, and how often that is looked at.
const LEARNS_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The chain of Envoy's `oauth2`.
const OAUTH2: &str = "oauth2";
/// Readers of event streams.
const READERS: usize = 8;
/// An MCP server's answer.
const BODY: &str =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"pong\"}]}}";
const AUTHZ_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
const LUA_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
/// Reads what the floors read.
const LUA: &str =
    "function envoy_on_request(handle)\n  local value = handle:headers():get(\"authorization\")\nend\n";
const JWT_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";

/// All of it. It ends with this guard.
#[derive(Debug)]
pub(super) struct Setting {
    /// What is presented.
    pub(super) tokens: Tokens,
    /// Envoy.
    pub(super) gateway: Gateway,
    /// The servers of event streams.
    pub(super) events: EventServer,
    /// Why lanes cannot be measured here.
    pub(super) left_out: Option<String>,
    upstream: Responder,
    authz: Responder,
    cookies: String,
    /// Held: the stand-ins of control and of an issuer end with their guards.
    _others: [Responder; 2],
}

/// What has been counted up to a moment.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// Requests that reached the upstream.
    upstream: u64,
    /// What each kind of [`Evidence`] counts.
    evidence: Vec<(Evidence, u64)>,
}

impl Setting {
    /// Starts everything that these lanes need.
    ///
    /// # Errors
    /// When Envoy or a module is missing, or Envoy rejects the configuration.
    pub(super) async fn start(pinning: Option<Pinning>, lanes: &[Lane]) -> anyhow::Result<Self> {
        let tokens = Tokens::make().await?;
        let upstream = upstream().await?;
        let authz = Responder::fixed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await?;
        let control = tokens.endpoint().await?;
        let issuer = browser_session::issuer(&tokens.fresh).await?;
        let events = EventServer::start(READERS).await?;
        let clusters = [
            ("upstream", upstream.address()),
            ("events", events.address()),
            ("tokenward_control", control.address()),
            ("authz", authz.address()),
            (ISSUER_CLUSTER, issuer.address()),
        ];
        let (mut more, mut left_out) = (More::default(), None);
        if lanes.iter().any(Lane::is_installed) {
            match installed::chains(&tokens, upstream.address(), control.address()).await? {
                Some(chains) => more = chains,
                None => left_out = Some(format!("the installed path: {}", EnvoyGateway::IS_MISSING)),
            }
        }
        more.secrets = browser_session::secrets();
        let gateway = Gateway::start(&chains(&tokens)?, &clusters, &more, pinning).await?;
        let cookies = match lanes.iter().find(|lane| lane.chain == OAUTH2) {
            Some(lane) => browser_session::log_in(gateway.address(OAUTH2)?, lane.path).await?,
            None => String::new(),
        };
        let setting = Self {
            tokens,
            gateway,
            events,
            left_out,
            upstream,
            authz,
            cookies,
            _others: [control, issuer],
        };
        if setting.left_out.is_none()
            && let Some(lane) = lanes.iter().find(|lane| lane.name == INSTALLED)
        {
            setting.wait_until_answered(lane).await?;
        }
        Ok(setting)
    }

    /// A filter that learns its servers from control refuses requests until it has.
    async fn wait_until_answered(&self, lane: &Lane) -> anyhow::Result<()> {
        let request = self.request(lane, lane.path);
        let mut connection = Connection::open(self.gateway.address(lane.chain)?).await?;
        let limit = Instant::now() + LEARNS_WITHIN;
        loop {
            let answered = connection.exchange(request.as_bytes()).await?;
            if answered == lane.status() {
                return Ok(());
            }
            ensure!(
                Instant::now() < limit,
                "{} answers {answered} after {LEARNS_WITHIN:?}",
                lane.name
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Connections for a lane.
    pub(super) async fn load(&self, lane: &Lane, connections: usize) -> anyhow::Result<Load> {
        let request = self.request(lane, lane.path).into_bytes();
        let address = self.gateway.address(lane.chain)?;
        Load::open(address, connections, same_request(request), lane.status()).await
    }

    /// CPU per request of the other load generator, microseconds, and what it did.
    pub(super) async fn cost_by_h2load_us(
        &self,
        h2load: &H2load,
        lane: &Lane,
        connections: usize,
        requests: u64,
    ) -> anyhow::Result<(f64, Done)> {
        let url = (self.gateway.address(lane.chain)?, lane.path);
        let headers = self.headers(lane);
        let before_ns = self.gateway.settled_cpu_ns().await?;
        let done = h2load
            .run(url, &headers, connections, requests, lane.status())
            .await?;
        let cpu_ns = self.gateway.settled_cpu_ns().await? - before_ns;
        Ok((cpu_ns as f64 / 1000.0 / done.requests as f64, done))
    }

    /// A lane's request to a path, as an MCP client sends it, but for the body: a GET, so that a filter with body callbacks is
    /// not entered once more for each request.
    pub(super) fn request(&self, lane: &Lane, path: &str) -> String {
        let headers = self.headers(lane);
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        format!("GET {path} HTTP/1.1\r\n{}\r\n", headers.collect::<String>())
    }

    fn headers(&self, lane: &Lane) -> Vec<(&'static str, String)> {
        let headers = [
            ("host", HOST),
            ("user-agent", "bench/1"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"),
            ("x-tokenward-session", "2c1a4a0e-7b2f-4c52-9a77-5a1f0d9be001"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned()));
        let credentials = lane.credentials(&self.tokens, &self.cookies);
        headers.into_iter().chain([credentials]).collect()
    }

    /// What the upstream and the evidence of these lanes count, now.
    pub(super) async fn counted(&self, lanes: &[Lane]) -> anyhow::Result<Counted> {
        let metrics = self.gateway.metrics().await?;
        let mut evidence: Vec<(Evidence, u64)> = Vec::new();
        for lane in lanes {
            if evidence.iter().any(|(known, _)| *known == lane.evidence) {
                continue;
            }
            let count = match lane.evidence {
                Evidence::UpstreamOnly => 0,
                Evidence::Authz => self.authz.answered(),
                Evidence::Counter { name, labels } => metrics.count(name, labels),
            };
            evidence.push((lane.evidence, count));
        }
        Ok(Counted {
            upstream: self.upstream.answered(),
            evidence,
        })
    }
}

impl Counted {
    /// Whether the requests that were sent since did what their lanes' names state, each of them.
    ///
    /// # Errors
    /// When a count differs: what was measured was something else.
    pub(super) fn check(&self, sent: &[(Lane, u64)], now: &Self) -> anyhow::Result<()> {
        let of = |which: &dyn Fn(&Lane) -> bool| -> u64 {
            let requests = sent.iter().filter(|(lane, _)| which(lane));
            requests.map(|(_, requests)| requests).sum()
        };
        let (reached, expected) = (now.upstream - self.upstream, of(&Lane::is_forwarded));
        ensure!(
            reached == expected,
            "{reached} requests reached the upstream instead of {expected}"
        );
        for ((evidence, before), (_, after)) in self.evidence.iter().zip(&now.evidence) {
            let expected = match evidence {
                Evidence::UpstreamOnly => 0,
                Evidence::Authz | Evidence::Counter { .. } => of(&|lane| lane.evidence == *evidence),
            };
            let counted = after - before;
            ensure!(
                counted == expected,
                "{evidence:?} counted {counted} requests instead of {expected}"
            );
        }
        Ok(())
    }
}

/// The upstream of every lane: one small answer.
pub(super) async fn upstream() -> anyhow::Result<Responder> {
    let length = BODY.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    Responder::fixed((head + BODY).into_bytes()).await
}

fn chains(tokens: &Tokens) -> anyhow::Result<Vec<Chain>> {
    let (module, mut configuration) = (tools::filter_module()?, filter_configuration(tokens));
    let tokenward = wasm_filter("tokenward", &module, &configuration);
    configuration["server_annotation"] = json!("tokenward-server");
    let annotated = wasm_filter("tokenward_annotated", &module, &configuration);
    let login = wasm_filter("tokenward_login", &module, &login_configuration(tokens));
    let floor = wasm_filter("floor", &tools::baseline_module()?, &json!({}));
    let bare = wasm_filter("bare", &tools::bare_module()?, &json!({}));
    let lua = filter(
        "lua",
        LUA_TYPE,
        &json!({"default_source_code": {"inline_string": LUA}}),
    );
    let authz = filter(
        "ext_authz",
        AUTHZ_TYPE,
        &json!({
            "http_service": {"server_uri": {"uri": "http://authz", "cluster": "authz", "timeout": "1s"}},
        }),
    );
    Ok(vec![
        Chain::new("no_filter", Vec::new()),
        Chain {
            answers: Some((401, BODY)),
            ..Chain::new("direct_response", Vec::new())
        },
        Chain::new("floor", vec![floor]),
        Chain::new("bare", vec![bare]),
        Chain::new("lua", vec![lua]),
        Chain::new(OAUTH2, vec![browser_session::oauth2()]),
        Chain::new("tokenward", vec![tokenward]),
        Chain {
            annotated: Some(SERVER),
            ..Chain::new("tokenward_annotated", vec![annotated])
        },
        Chain::new("tokenward_login", vec![login]),
        Chain::new("jwt_authn", vec![jwt_authn(tokens, false)]),
        Chain::new("jwt_authn_cached", vec![jwt_authn(tokens, true)]),
        Chain::new("ext_authz", vec![authz]),
    ])
}

fn filter_configuration(tokens: &Tokens) -> Value {
    let forward = json!({
        "name": SERVER, "path_prefix": "/forward",
        "auth": {"kind": "forward", "issuer": tokens.issuer, "required_audiences": [CLIENT]},
    });
    let exchange = json!({
        "name": "exchange", "path_prefix": "/exchange",
        "auth": {
            "kind": "exchange", "issuer": tokens.remote_issuer, "required_audiences": [REMOTE_CLIENT],
            "subject_issuer": tokens.issuer, "subject_audiences": [CLIENT],
        },
    });
    json!({
        "control": {"cluster": "tokenward_control", "credential": {"value": "bench"}},
        "session_headers": ["x-tokenward-session"],
        "resource_metadata": "https://mcp.example.com/.well-known/oauth-protected-resource",
        // The gate stays closed for as long as a benchmark may take: a probe would be no gated refusal.
        "gate": {"login_first": "24h", "login_longest": "24h"},
        "servers": [forward, exchange],
    })
}

/// MCP clients log in at control: one server that takes access tokens.
fn login_configuration(tokens: &Tokens) -> Value {
    json!({
        "control": {"cluster": "tokenward_control", "credential": {"value": "bench"}},
        "authorization_server": {"issuer": AUTHORIZATION_SERVER, "scope": "mcp"},
        "servers": [{
            "name": "login", "path_prefix": "/login", "resource": LOGIN_RESOURCE,
            "auth": {"kind": "forward", "issuer": tokens.issuer, "required_audiences": [CLIENT]},
        }],
    })
}

fn jwt_authn(tokens: &Tokens, cached: bool) -> Value {
    let mut provider = json!({
        "issuer": tokens.issuer, "audiences": [CLIENT], "forward": true,
        "local_jwks": {"inline_string": tokens.jwks},
    });
    if cached {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    filter(
        "jwt_authn",
        JWT_TYPE,
        &json!({
            "providers": {"dex": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "dex"}}],
        }),
    )
}
