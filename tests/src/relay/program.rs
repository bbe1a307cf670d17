//! The programs: each logs one user in at the issuer, refreshes by itself, and calls the gateway with what it has.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_harness::aggregator::Aggregator;
use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::parts::{
    EnvoyOAuth2, EnvoyOAuth2Config, OAuth2Proxy, OAuth2ProxyConfig, ports, tools,
};
use tokenward_harness::world::Answer;
use tokio::task::JoinSet;

use super::stage::{CLIENT, SERVER, Stage};
use super::{IssuerKind, Times};

const PATIENCE: Duration = Duration::from_secs(60);
/// The user of every story.
pub const ALICE: &str = "admin@example.com";
/// Another user.
pub const BOB: &str = "bob@example.com";

/// A program that has never been changed for Tokenward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramKind {
    /// oauth2-proxy with its sessions in cookies: no lock is common to two requests.
    OAuth2Proxy,
    /// Envoy's filter `envoy.filters.http.oauth2`.
    EnvoyOAuth2,
    /// The stand-in for an unmodified muster.
    Aggregator,
}

impl ProgramKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OAuth2Proxy, Self::EnvoyOAuth2, Self::Aggregator];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::OAuth2Proxy => "oauth2-proxy",
            Self::EnvoyOAuth2 => "Envoy oauth2",
            Self::Aggregator => "aggregator",
        }
    }

    /// Why it is left out on this machine.
    ///
    /// # Errors
    /// When a variable names what is not there.
    pub fn missing(self) -> anyhow::Result<Option<&'static str>> {
        let is_missing = self == Self::OAuth2Proxy && tools::oauth2_proxy()?.is_none();
        Ok(is_missing.then_some(tools::OAUTH2_PROXY_IS_MISSING))
    }

    /// The age of a token at which a request makes it refresh.
    pub fn refreshes_at(self, times: &Times) -> Duration {
        match self {
            // "Older than", in whole seconds of its own.
            Self::OAuth2Proxy => times.life - times.ahead + Duration::from_secs(1),
            // It counts whole seconds from when the answer came.
            Self::EnvoyOAuth2 => times.life + Duration::from_secs(1),
            Self::Aggregator => times.life - times.ahead,
        }
    }

    /// Whether it throws a session away as soon as a refresh fails after the token's end, whatever the failure is.
    pub fn forgets_after_the_end(self) -> bool {
        self == Self::OAuth2Proxy
    }

    /// A redirect, and the port that it is on.
    ///
    /// # Errors
    /// When no port is free.
    pub fn redirect() -> std::io::Result<(u16, String)> {
        let port = ports::free_port()?;
        Ok((port, format!("http://127.0.0.1:{port}/oauth2/callback")))
    }
}

/// A running program with one user.
#[derive(Debug)]
pub struct Program {
    /// What it is.
    pub kind: ProgramKind,
    running: Running,
    browser: Arc<Browser>,
}

#[derive(Debug)]
enum Running {
    OAuth2Proxy(OAuth2Proxy),
    EnvoyOAuth2(EnvoyOAuth2),
    Aggregator(Box<Aggregator>),
}

impl Program {
    /// Starts it before the stage's gateway, with its redirect on `port`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start<I: Issuer>(
        kind: ProgramKind,
        stage: &Stage<I>,
        issuer: IssuerKind,
        port: u16,
    ) -> anyhow::Result<Self> {
        let client = (CLIENT.0.to_owned(), CLIENT.1.to_owned());
        let (times, scope) = (&stage.plan.times, issuer.scopes());
        let running = match kind {
            ProgramKind::OAuth2Proxy => Running::OAuth2Proxy(
                OAuth2Proxy::start(&OAuth2ProxyConfig {
                    port,
                    issuer: stage.issuer.issuer().to_owned(),
                    client,
                    scope: scope.to_owned(),
                    user_claim: issuer.user_claim().to_owned(),
                    upstream: stage.gateway.url(),
                    refresh_after: times.life - times.ahead,
                })
                .await?,
            ),
            ProgramKind::EnvoyOAuth2 => {
                let discovery = stage.discovery().await?;
                let endpoint = |name: &str| discovery[name].as_str().unwrap_or_default().to_owned();
                let authorization = format!("{}?prompt=consent", endpoint("authorization_endpoint"));
                Running::EnvoyOAuth2(
                    EnvoyOAuth2::start(&EnvoyOAuth2Config {
                        port,
                        authorization_endpoint: authorization,
                        token_endpoint: endpoint("token_endpoint"),
                        client,
                        scopes: scope.split(' ').map(str::to_owned).collect(),
                        upstream: stage.gateway.address(),
                    })
                    .await?,
                )
            }
            ProgramKind::Aggregator => Running::Aggregator(Box::new(
                stage
                    .aggregator(issuer, &format!("http://127.0.0.1:{port}/oauth2/callback"))
                    .await?,
            )),
        };
        Ok(Self {
            kind,
            running,
            browser: Arc::new(Browser::new()?),
        })
    }

    /// The aggregator, when it is one.
    pub fn aggregator(&self) -> Option<&Aggregator> {
        match &self.running {
            Running::Aggregator(aggregator) => Some(aggregator),
            Running::OAuth2Proxy(_) | Running::EnvoyOAuth2(_) => None,
        }
    }

    /// The user logs in with a browser.
    ///
    /// # Errors
    /// When the issuer or the program refuses.
    pub async fn log_in(&self) -> anyhow::Result<()> {
        let start = match &self.running {
            Running::Aggregator(aggregator) => return aggregator.log_in(ALICE).await,
            Running::OAuth2Proxy(proxy) => format!("{}/oauth2/start?rd=/arrived", proxy.url()),
            Running::EnvoyOAuth2(envoy) => format!("{}/arrived", envoy.url()),
        };
        let arrived = self
            .browser
            .log_in(&start, ALICE, |url| url.path() == "/arrived")
            .await?;
        ensure!(arrived.query().is_none(), "arrived with {arrived}");
        Ok(())
    }

    /// Ends its process and starts another one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        match &mut self.running {
            Running::OAuth2Proxy(proxy) => proxy.restart().await,
            Running::EnvoyOAuth2(envoy) => envoy.restart().await,
            Running::Aggregator(aggregator) => aggregator.restart().await,
        }
    }

    /// The user calls a tool.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn call(&self) -> anyhow::Result<Answer> {
        match &self.running {
            Running::Aggregator(aggregator) => aggregator.call(ALICE, SERVER).await,
            Running::OAuth2Proxy(proxy) => call(&self.browser, &proxy.url()).await,
            Running::EnvoyOAuth2(envoy) => call(&self.browser, &envoy.url()).await,
        }
    }

    /// So many refreshes of one token at once; how many of them failed. A program refreshes because so many requests with
    /// the same cookies come in at once; the aggregator, whose lock would make one of it, as replicas without a common
    /// lock would.
    ///
    /// # Errors
    /// When one gets no answer.
    pub async fn refresh_at_once(&self, count: usize) -> anyhow::Result<usize> {
        let base = match &self.running {
            Running::Aggregator(aggregator) => {
                let outcomes = aggregator.refresh_many(ALICE, count).await?;
                return Ok(outcomes.iter().filter(|outcome| outcome.is_err()).count());
            }
            Running::OAuth2Proxy(proxy) => proxy.url(),
            Running::EnvoyOAuth2(envoy) => envoy.url(),
        };
        let mut under_way = JoinSet::new();
        for _ in 0..count {
            let (browser, base) = (Arc::clone(&self.browser), base.clone());
            under_way.spawn(async move { call(&browser, &base).await });
        }
        let mut failed = 0;
        while let Some(answer) = under_way.join_next().await {
            let answer = answer.context("a call has panicked")??;
            failed += usize::from(answer.status != 200);
        }
        Ok(failed)
    }

    /// Whether the program still has its user's login.
    ///
    /// # Errors
    /// When its address is none.
    pub async fn is_logged_in(&self) -> anyhow::Result<bool> {
        Ok(match &self.running {
            Running::Aggregator(aggregator) => aggregator.is_logged_in(ALICE).await,
            Running::OAuth2Proxy(proxy) => self.browser.cookies_of(&proxy.url())? > 0,
            Running::EnvoyOAuth2(envoy) => self.browser.cookies_of(&envoy.url())? > 0,
        })
    }
}

/// A call of a tool through a program that is before the gateway.
async fn call(browser: &Browser, base: &str) -> anyhow::Result<Answer> {
    let request = tokenward_harness::issuer::http_client()
        .post(format!("{base}/{SERVER}/mcp"))
        .timeout(PATIENCE)
        .header("accept", "application/json, text/event-stream")
        .json(&json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"text": "hello"}},
        }));
    browser.send(request).await
}
