//! What runs around a program: a published issuer, control behind its Service, a gateway with the filter, an MCP server.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_harness::aggregator::{Aggregator, AggregatorConfig, Tokens};
use tokenward_harness::issuer::{DexClient, DexConfig, DexUser, Issuer, http_client};
use tokenward_harness::mcp_server::{McpServer, McpTrust};
use tokenward_harness::parts::{
    Control, ControlConfig, ControlStore, Detour, Envoy, EnvoyConfig, EnvoyFilter, EnvoyRoute, Valkey, ports,
    tools,
};

use super::{BOB, IssuerKind, Times};

/// The client of every program, and its secret.
pub const CLIENT: (&str, &str) = ("muster", "s3cret");
/// The MCP server, which gets users' own tokens.
pub const SERVER: &str = "local";
/// For a request that waits for an issuer or for a dead replica's lease.
const PATIENCE: Duration = Duration::from_secs(60);
const ROUTE_OF_TOKENS: &str = "token";

/// What a stage shall be.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// The issuer's public token endpoint leads to control, which relays; else it leads to the issuer.
    pub relayed: bool,
    /// How long tokens live, and from when on they are stale.
    pub times: Times,
    /// `reuseInterval` of a Dex.
    pub reuse_interval: Duration,
    /// `policy` of the issuer in control's configuration.
    pub policy: &'static str,
    /// Redirects of the client.
    pub redirect_uris: Vec<String>,
}

/// Everything that runs. It ends when it is dropped.
#[derive(Debug)]
pub struct Stage<I> {
    /// The plan.
    pub plan: StagePlan,
    /// The issuer, which counts.
    pub issuer: I,
    /// The gateway that publishes the issuer: only the exact path of the token endpoint may lead elsewhere.
    pub issuer_gateway: Envoy,
    /// The gateway before the MCP server, with the filter.
    pub gateway: Envoy,
    /// The MCP server.
    pub server: McpServer,
    /// Replicas of control on one Valkey.
    pub controls: [Control; 2],
    /// Control's Service: it leads to one replica.
    service: Detour,
    /// What the exact path of the issuer's public token endpoint is routed to.
    token_route: Detour,
    _valkey: Valkey,
}

impl<I: Issuer> Stage<I> {
    /// Starts everything and waits until it is ready.
    ///
    /// # Errors
    /// When a part is missing on this machine or does not start.
    pub async fn start(plan: StagePlan) -> anyhow::Result<Self> {
        let public = SocketAddr::from(([127, 0, 0, 1], ports::free_port()?));
        let issuer = I::start(plan.issuer_config(public)).await?;
        let valkey = Valkey::start().await?;
        // It leads nowhere until a replica listens.
        let service = Detour::to(public.port()).await?;
        let token_route = Detour::to(issuer.address().port()).await?;
        let issuer_gateway = publish(public, &issuer, &token_route).await?;
        if plan.relayed {
            token_route.lead_to(service.address().port());
        }
        let config = plan.control_config(&issuer, valkey.url());
        let controls = [
            Control::start(config.clone()).await?,
            Control::start(config).await?,
        ];
        service.lead_to(controls[0].address().port());
        let server = McpServer::start(McpTrust::of(&issuer, CLIENT.0)).await?;
        let gateway = Envoy::start(&plan.gateway_config(&issuer, &controls[0], &service, &server)?).await?;
        Ok(Self {
            plan,
            issuer,
            issuer_gateway,
            gateway,
            server,
            controls,
            service,
            token_route,
            _valkey: valkey,
        })
    }

    /// The route of the public token endpoint leads to control from now on, or to the issuer.
    pub fn route_tokens_to_control(&self, to_control: bool) {
        let port = match to_control {
            true => self.service.address().port(),
            false => self.issuer.address().port(),
        };
        self.token_route.lead_to(port);
    }

    /// The Service leads to this replica from now on; connections to another are cut.
    pub fn lead_to(&self, replica: usize) {
        self.service.lead_to(self.controls[replica].address().port());
    }

    /// The issuer's discovery document, as a program reads it.
    ///
    /// # Errors
    /// When the issuer does not answer.
    pub async fn discovery(&self) -> anyhow::Result<Value> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer.issuer());
        let answer = http_client().get(url).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// The issuer's token endpoint at its own address, past the gateway that publishes it.
    pub fn own_token_endpoint(&self) -> String {
        own_token_endpoint(&self.issuer)
    }

    /// An aggregator with this redirect, before the gateway.
    ///
    /// # Errors
    /// When the issuer has no discovery document.
    pub async fn aggregator(&self, kind: IssuerKind, redirect_uri: &str) -> anyhow::Result<Aggregator> {
        Aggregator::start(AggregatorConfig {
            issuer: self.issuer.issuer().to_owned(),
            client: (CLIENT.0.to_owned(), CLIENT.1.to_owned()),
            redirect_uri: redirect_uri.to_owned(),
            scope: kind.scopes().to_owned(),
            gateway: self.gateway.url(),
            refresh_ahead: self.plan.times.ahead,
            token_endpoint: None,
        })
        .await
    }

    /// An aggregator that knows Tokenward registers a login.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn register(&self, session: &str, tokens: &Tokens) -> anyhow::Result<()> {
        let control = &self.controls[0];
        let body = json!({
            "issuer": self.issuer.issuer(), "client_id": CLIENT.0,
            "id_token": tokens.id_token, "refresh_token": tokens.refresh_token,
        });
        let answer = http_client()
            .put(format!("{}/v1/sessions/{session}", control.url()))
            .bearer_auth(control.config().aggregator_credential.expose_secret())
            .json(&body)
            .send()
            .await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(())
    }

    /// A request with this bearer straight at the gateway; the status.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn present(&self, bearer: &str) -> anyhow::Result<u16> {
        let request = http_client().post(format!("{}/{SERVER}/mcp", self.gateway.url()));
        let request = request.timeout(PATIENCE).bearer_auth(bearer);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        Ok(request.json(&body).send().await?.status().as_u16())
    }

    /// How long ago the newest token was issued; long ago before the first.
    pub fn age_of_newest(&self) -> Duration {
        let issued = self.issuer.last_expiry_seconds() - self.plan.times.life.as_secs().cast_signed();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_secs(issued.max(0).unsigned_abs()))
    }

    /// Waits, in real time, until the newest token is so old, also one that is issued meanwhile.
    pub async fn wait_until_age(&self, age: Duration) {
        loop {
            let left = age.saturating_sub(self.age_of_newest());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_millis(200))).await;
        }
    }
}

/// The gateway that publishes an issuer; its token endpoint's exact path has a route of its own.
async fn publish(public: SocketAddr, issuer: &impl Issuer, tokens: &Detour) -> anyhow::Result<Envoy> {
    let token_endpoint = url::Url::parse(&issuer.token_endpoint())?;
    let of_tokens = EnvoyRoute {
        name: ROUTE_OF_TOKENS.to_owned(),
        ..EnvoyRoute::new(token_endpoint.path(), tokens.address()).exactly()
    };
    Envoy::start(&EnvoyConfig {
        listener_port: public.port(),
        routes: vec![of_tokens, EnvoyRoute::new("/", issuer.address())],
        ..EnvoyConfig::default()
    })
    .await
}

fn own_token_endpoint(issuer: &impl Issuer) -> String {
    let public = issuer.token_endpoint();
    let path = public.splitn(4, '/').nth(3).unwrap_or_default();
    format!("http://{}/{path}", issuer.address())
}

impl StagePlan {
    fn issuer_config(&self, public: SocketAddr) -> DexConfig {
        let mut config = DexConfig::default()
            .id_token_lifetime(self.times.life)
            .reuse_interval(self.reuse_interval)
            .published_at(public)
            .user(DexUser::new(BOB));
        config.clients = vec![DexClient {
            redirect_uris: self.redirect_uris.clone(),
            ..DexClient::new(CLIENT.0, CLIENT.1)
        }];
        config
    }

    fn control_config(&self, issuer: &impl Issuer, valkey: String) -> ControlConfig {
        let config = ControlConfig {
            store: ControlStore::Valkey {
                url: valkey,
                password: None,
            },
            store_deadline: Some("6s".to_owned()),
            ..ControlConfig::default()
        };
        let mut config = config
            .issuer(issuer, CLIENT.0, CLIENT.1)
            .forwarding_server(SERVER, &[CLIENT.0])
            .setting("margin", self.times.margin_text())
            .setting("caller_deadline", "15s")
            // As short beside a call as the tokens are: after a lost answer control waits for it at a strict issuer.
            .setting("issuer_timeout", "5s");
        let entry = config
            .issuers
            .first_mut()
            .expect("the issuer that was just added");
        entry.policy = Some(self.policy.to_owned());
        if self.relayed {
            entry.token_endpoint = Some(own_token_endpoint(issuer));
            entry.relay = Some(json!({"public_endpoint": issuer.token_endpoint()}));
        }
        config
    }

    fn gateway_config(
        &self,
        issuer: &impl Issuer,
        control: &Control,
        service: &Detour,
        server: &McpServer,
    ) -> anyhow::Result<EnvoyConfig> {
        let credential = control.config().filter_credential.expose_secret().to_owned();
        let configuration = json!({
            "control": {
                "cluster": "tokenward_control", "timeout": "20s",
                "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"},
            },
            "margin": self.times.margin_text(), "refresh_ahead": self.times.margin_text(),
            "servers": [{
                "name": SERVER, "path_prefix": format!("/{SERVER}"),
                "auth": {
                    "kind": "forward", "issuer": issuer.issuer(), "required_audiences": [CLIENT.0],
                },
            }],
        });
        Ok(EnvoyConfig {
            workers: 2,
            filter: Some(EnvoyFilter {
                module: tools::filter_module()?,
                configuration,
                credential: Some(credential),
            }),
            control: Some(service.address()),
            routes: vec![EnvoyRoute::new(&format!("/{SERVER}"), server.address())],
            ..EnvoyConfig::default()
        })
    }
}
