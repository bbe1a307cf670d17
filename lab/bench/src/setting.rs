//! Everything that runs while the data path is measured: Envoy, the upstream, control's and ext_authz's stand-ins.

use anyhow::ensure;
use serde_json::{Value, json};

use super::gateway::{Chain, Gateway, filter, wasm_filter};
use super::lanes::{Evidence, Lane};
use super::load::{Load, same_request};
use super::machine::Pinning;
use super::stream::EventServer;
use super::tokens::{AUTHORIZATION_SERVER, CLIENT, LOGIN_RESOURCE, REMOTE_CLIENT, Tokens};
use super::wire::Responder;
use tokenward_harness::parts::tools;

/// Readers of event streams.
const READERS: usize = 8;
/// An MCP server's answer.
const BODY: &str =
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"pong\"}]}}";
const AUTHZ_TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
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
    upstream: Responder,
    authz: Responder,
    /// Held: control's stand-in ends with its guard.
    _control: Responder,
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
    /// Starts everything.
    ///
    /// # Errors
    /// When Envoy or a module is missing, or Envoy rejects the configuration.
    pub(super) async fn start(pinning: Option<Pinning>) -> anyhow::Result<Self> {
        let tokens = Tokens::make().await?;
        let upstream = upstream().await?;
        let authz = Responder::fixed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await?;
        let control = tokens.endpoint().await?;
        let events = EventServer::start(READERS).await?;
        let clusters = [
            ("upstream", upstream.address()),
            ("events", events.address()),
            ("tokenward_control", control.address()),
            ("authz", authz.address()),
        ];
        let gateway = Gateway::start(&chains(&tokens)?, &clusters, pinning).await?;
        Ok(Self {
            tokens,
            gateway,
            events,
            upstream,
            authz,
            _control: control,
        })
    }

    /// Connections for a lane.
    pub(super) async fn load(&self, lane: &Lane, connections: usize) -> anyhow::Result<Load> {
        let request = request(lane.path, lane.token(&self.tokens)).into_bytes();
        let address = self.gateway.address(lane.chain)?;
        Load::open(address, connections, same_request(request), lane.status()).await
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

/// A request as an MCP client sends it, but for the body: a GET, so that a filter with body callbacks is not entered
/// once more for each request.
pub(super) fn request(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: mcp.example.com\r\nuser-agent: bench/1\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n\
         x-tokenward-session: 2c1a4a0e-7b2f-4c52-9a77-5a1f0d9be001\r\nauthorization: Bearer {token}\r\n\r\n"
    )
}

fn chains(tokens: &Tokens) -> anyhow::Result<Vec<Chain>> {
    let (module, mut configuration) = (tools::filter_module()?, filter_configuration(tokens));
    let tokenward = wasm_filter("tokenward", &module, &configuration);
    configuration["server_annotation"] = json!("tokenward-server");
    let annotation_first = wasm_filter("tokenward_annotation", &module, &configuration);
    let login = wasm_filter("tokenward_login", &module, &login_configuration(tokens));
    let floor = wasm_filter("floor", &tools::baseline_module()?, &json!({}));
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
        Chain::new("tokenward", vec![tokenward]),
        Chain::new("tokenward_annotation", vec![annotation_first.clone()]),
        // The same VM: only the route differs.
        Chain {
            named: false,
            ..Chain::new("tokenward_unnamed", vec![annotation_first.clone()])
        },
        Chain {
            annotated: Some("forward"),
            ..Chain::new("tokenward_annotated", vec![annotation_first])
        },
        Chain::new("tokenward_login", vec![login]),
        Chain::new("jwt_authn", vec![jwt_authn(tokens, false)]),
        Chain::new("jwt_authn_cached", vec![jwt_authn(tokens, true)]),
        Chain::new("ext_authz", vec![authz]),
    ])
}

fn filter_configuration(tokens: &Tokens) -> Value {
    let forward = json!({
        "name": "forward", "path_prefix": "/forward",
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
