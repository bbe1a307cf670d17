//! What runs around the clients: the gateway with our own authorization server, real servers behind it, two real Dex.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokenward_harness::issuer::Issuer as _;
use tokenward_harness::mcp_server::{McpServer, McpTrust};
use tokenward_harness::parts::{Control, McpProgram, RealDex, tools};
use tokenward_harness::world::{CLIENT, LOCAL, World};

/// Gets the user's own ID token: sessions, listeners.
pub(crate) const EVERYTHING: &str = LOCAL;
/// Gets an exchanged token: the style of 2026-07-28.
pub(crate) const MODERN: &str = "remote-1";
/// Of ID tokens and of exchanged tokens.
const TOKENS_LIVE: Duration = Duration::from_secs(12);
/// A forwarded token is valid for at least so long.
const MARGIN: Duration = Duration::from_secs(3);
/// `authorization.access_token_lifetime`.
pub(crate) const ACCESS_TOKENS_LIVE: Duration = Duration::from_secs(16);
/// As many as there are stories.
const USERS: usize = 10;

/// The metric of requests at the authorization server.
const REQUESTS: &str = "tokenward_authorization_requests_total";

/// The user of story `number`.
pub(crate) fn user(number: usize) -> String {
    format!("user-{number}@example.com")
}

/// Everything that runs. It ends with the last clone of its `Arc`.
pub(crate) struct Stage {
    pub(crate) world: World<RealDex>,
    servers: BTreeMap<&'static str, McpServer>,
    _programs: [McpProgram; 2],
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn start() -> anyhow::Result<Arc<Self>> {
        tools::dex()?.context(tools::DEX_IS_MISSING)?;
        let mut world = World::builder()
            .authorization()
            .authorization_setting(
                "access_token_lifetime",
                format!("{}s", ACCESS_TOKENS_LIVE.as_secs()),
            )
            .control_replicas(1)
            .workers(2)
            .short_lived(TOKENS_LIVE, MARGIN);
        for number in 0..USERS {
            world = world.user(&user(number));
        }
        let mut world: World<RealDex> = world.start_on().await?;
        let programs = [McpProgram::everything().await?, McpProgram::modern().await?];
        let [everything, modern] = programs.each_ref().map(McpProgram::address);
        let exchanged = world
            .exchange_client(MODERN)
            .context("no such client")?
            .id
            .clone();
        let servers = BTreeMap::from([
            (
                EVERYTHING,
                McpServer::start_in_front_of(McpTrust::of(&world.home, CLIENT.0), everything).await?,
            ),
            (
                MODERN,
                McpServer::start_in_front_of(McpTrust::of(&world.remote, &exchanged), modern).await?,
            ),
        ]);
        let places: Vec<_> = servers
            .iter()
            .map(|(name, server)| (*name, server.address()))
            .collect();
        world.put_behind(&places).await?;
        Ok(Arc::new(Self {
            world,
            servers,
            _programs: programs,
        }))
    }

    /// Waits until every token has expired that a client may have by now.
    pub(crate) async fn wait_until_access_tokens_expired(&self) {
        tokio::time::sleep(ACCESS_TOKENS_LIVE).await;
        self.world.wait_until_tokens_expired().await;
    }

    /// The login of `user` at Dex ends: its refresh token is of no use any more.
    pub(crate) async fn end_login(&self, user: &str) -> anyhow::Result<()> {
        self.world.home.end_login(user, CLIENT.0).await
    }

    /// Requests at the authorization server by endpoint and outcome, of both replicas.
    pub(crate) async fn requests(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let mut requests = BTreeMap::new();
        for control in self.controls() {
            let metrics = control.metrics().await?;
            for sample in metrics.samples().iter().filter(|sample| sample.name == REQUESTS) {
                let label = |name: &str| sample.label(name).unwrap_or_default().to_owned();
                let labels = [label("endpoint"), label("outcome")];
                let [endpoint, outcome] = &labels;
                let count = metrics.count(REQUESTS, &[("endpoint", endpoint), ("outcome", outcome)]);
                *requests.entry(labels.join(" ")).or_insert(0) += count;
            }
        }
        requests.retain(|_, count| *count > 0);
        Ok(requests)
    }

    fn controls(&self) -> impl Iterator<Item = &Control> {
        std::iter::once(&self.world.control).chain(&self.world.control_replicas)
    }

    /// Requests that reached a server with a token that the gateway itself had signed.
    pub(crate) fn own_tokens(&self) -> usize {
        let servers = self.servers.values();
        servers.map(|server| server.counts().own_tokens).sum()
    }

    /// Every request that reached a server had a good token.
    pub(crate) fn ensure_good_tokens_only(&self) -> anyhow::Result<()> {
        for (name, server) in &self.servers {
            let counts = server.counts();
            ensure!(
                (counts.rejected_expired, counts.rejected_other, counts.own_tokens) == (0, 0, 0),
                "{name}: {counts:?}"
            );
        }
        Ok(())
    }
}
