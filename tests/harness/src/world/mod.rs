//! The whole path for stories: home and remote issuer, control, store, Envoy with the filter, MCP servers.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::world::World;
//! let world = World::builder().workers(4).remotes(2).start().await?;
//! let alice = world.log_in_an_hour_ago("admin@example.com").await?;
//! let answer = world.call("local").login(&alice).send().await?;
//! assert_eq!(answer.status, 200);
//! assert_eq!(world.home.counts().refreshes_succeeded, 1);
//! assert_eq!(world.rejected_expired(), 0);
//! # Ok(()) }
//! ```

mod alone;
mod authorization;
mod builder;
mod call;
mod hostile;
mod installed;
mod login;
mod own_token;
mod relay;
mod resources;
mod survival;
mod tally;

pub use alone::{Lane, UnderWay, WholeAnswer};
pub use builder::CONNECTOR;
pub use builder::{Store, WorldBuilder};
pub use call::{Answer, Call};
pub use hostile::{Forger, SilentServer};
pub use installed::Installation;
pub use login::Login;
pub use own_token::OwnToken;
pub use survival::Vms;
pub use tally::Tally;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context as _;

use self::authorization::AuthorizationServer;
use crate::issuer::{DexClient, FakeDex, Issuer};
use crate::mcp_server::McpServer;
use crate::parts::{Control, Envoy, Valkey};

/// Name of the server that gets the user's own token.
pub const LOCAL: &str = "local";
/// The aggregator's OAuth client at the home issuer, and its secret.
pub const CLIENT: (&str, &str) = ("muster", "s3cret");
/// The user of most stories.
pub const ALICE: &str = "admin@example.com";

/// Everything that runs, on fake issuers by default. It ends when it is dropped.
#[derive(Debug)]
pub struct World<I = FakeDex> {
    /// The issuer at which users log in.
    pub home: I,
    /// The issuer at which tokens are exchanged.
    pub remote: I,
    /// The control service.
    pub control: Control,
    /// Further replicas of control, which the gateway calls by turns.
    pub control_replicas: Vec<Control>,
    /// The store, where it is not embedded.
    pub valkey: Option<Valkey>,
    /// Envoy with the filter.
    pub envoy: Envoy,
    servers: BTreeMap<String, McpServer>,
    exchange_clients: BTreeMap<String, DexClient>,
    aggregator_credential: String,
    token_endpoint: String,
    authorization: Option<AuthorizationServer>,
    http: reqwest::Client,
    began: std::time::Instant,
}

impl World {
    /// A world with its defaults: two workers, one remote server, the embedded store, tokens that live an hour.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }
}

impl<I: Issuer> World<I> {
    /// The MCP server with this name.
    ///
    /// # Panics
    /// When there is no such server.
    pub fn server(&self, name: &str) -> &McpServer {
        self.servers
            .get(name)
            .unwrap_or_else(|| panic!("no server {name:?} in this world"))
    }

    /// The remote issuer's client of an exchange server; `None` for the server that gets the user's own token.
    pub fn exchange_client(&self, server: &str) -> Option<&DexClient> {
        self.exchange_clients.get(server)
    }

    /// The home issuer's token endpoint as its clients use it: the relay's public one, or the issuer's own.
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// Names of all servers, the local one first.
    pub fn server_names(&self) -> Vec<String> {
        self.servers.keys().cloned().collect()
    }

    /// Requests that reached any MCP server with a bearer past its `exp`. The one number that must be 0.
    pub fn rejected_expired(&self) -> usize {
        self.servers
            .values()
            .map(|server| server.counts().rejected_expired)
            .sum()
    }

    /// Requests that reached any MCP server with a token that the gateway itself signed: 0, as each server verifies again
    /// when it ends.
    pub fn own_tokens(&self) -> usize {
        self.servers
            .values()
            .map(|server| server.counts().own_tokens)
            .sum()
    }

    /// Requests that reached any MCP server.
    pub fn upstream_requests(&self) -> usize {
        self.servers.values().map(|server| server.counts().requests).sum()
    }

    /// Puts other servers in the places of the world's own, by name, behind a new Envoy. They see paths without the name.
    ///
    /// # Errors
    /// When Envoy does not start.
    pub async fn put_behind(&mut self, servers: &[(&str, SocketAddr)]) -> anyhow::Result<()> {
        let mut config = self.envoy.config().clone();
        for (name, address) in servers {
            let mut routes = config.routes.iter_mut();
            let route = routes
                .find(|route| route.name == *name)
                .with_context(|| format!("no route {name:?}"))?;
            *route = route.clone().stripped_to(*address);
        }
        self.envoy = Envoy::start(&config).await?;
        Ok(())
    }

    /// A call to the server with this name, through Envoy.
    pub fn call(&self, server: &str) -> Call {
        Call::new(self.http.clone(), format!("{}/{server}/mcp", self.envoy.url()))
    }
}
