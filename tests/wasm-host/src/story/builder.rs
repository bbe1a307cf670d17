//! Putting a [`FilterWorld`] together.

use serde_json::{Value, json};

use super::server::ServerSpec;
use super::world::FilterWorld;
use crate::Headers;
use crate::gateway::Gateway;
use crate::gateway_builder::{CrashPolicy, GatewayBuilder};
use crate::stream::UpstreamReply;

pub(super) const CONTROL_CLUSTER: &str = "tokenward_control";

/// The filter's configuration and surroundings; every default is the filter's own.
pub struct FilterWorldBuilder {
    gateway: GatewayBuilder,
    configuration: Value,
    raw_configuration: Option<String>,
    knows_control: bool,
    upstream: UpstreamReply,
}

impl Default for FilterWorldBuilder {
    fn default() -> Self {
        Self {
            gateway: Gateway::builder().on_crash(CrashPolicy::Panic),
            configuration: json!({
                "control": {"cluster": CONTROL_CLUSTER, "credential": {"value": "filter-credential"}},
                "servers": [],
            }),
            raw_configuration: None,
            knows_control: true,
            upstream: UpstreamReply::Respond {
                status: 200,
                headers: Headers::new().with("content-type", "application/json"),
                body: b"{}".to_vec(),
            },
        }
    }
}

impl FilterWorldBuilder {
    /// How many workers; 1 by default.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.gateway = self.gateway.workers(workers);
        self
    }

    /// One more protected server.
    ///
    /// # Panics
    /// When `servers` was overwritten with something that is not a list.
    #[must_use]
    pub fn server(mut self, server: ServerSpec) -> Self {
        let servers = self.configuration["servers"]
            .as_array_mut()
            .expect("servers is a list");
        servers.push(server.into());
        self
    }

    /// One more header that may carry the session.
    #[must_use]
    pub fn session_header(mut self, name: &str) -> Self {
        match self.configuration["session_headers"].as_array_mut() {
            Some(names) => names.push(name.into()),
            None => self.configuration["session_headers"] = json!([name]),
        }
        self
    }

    /// Any top-level setting, such as `("margin", "90s")`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.configuration[name] = value.into();
        self
    }

    /// A setting of `gate`, such as `("login_first", "5s")`.
    #[must_use]
    pub fn gate(mut self, name: &str, span: &str) -> Self {
        self.configuration["gate"][name] = span.into();
        self
    }

    /// A setting of `control`, such as `("timeout", "5s")`.
    #[must_use]
    pub fn control_setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.configuration["control"][name] = value.into();
        self
    }

    /// The credential stands in this environment variable of Envoy.
    #[must_use]
    pub fn credential_in_environment(mut self, name: &str, credential: &str) -> Self {
        self.configuration["control"]["credential"] = json!({"env": name});
        self.gateway = self.gateway.environment(name, credential);
        self
    }

    /// Envoy has no cluster of control's name.
    #[must_use]
    pub fn without_control_cluster(mut self) -> Self {
        self.knows_control = false;
        self
    }

    /// The configuration, byte for byte, instead of everything above.
    #[must_use]
    pub fn raw_configuration(mut self, text: &str) -> Self {
        self.raw_configuration = Some(text.into());
        self
    }

    /// MCP servers answer with this; 200 and `{}` by default.
    #[must_use]
    pub fn upstream(mut self, reply: UpstreamReply) -> Self {
        self.upstream = reply;
        self
    }

    /// MCP servers answer only through [`super::Sent::respond`].
    #[must_use]
    pub fn upstream_stays_open(self) -> Self {
        self.upstream(UpstreamReply::StayOpen)
    }

    /// A trap in the module is written down instead of failing the test.
    #[must_use]
    pub fn crashes_allowed(mut self) -> Self {
        self.gateway = self.gateway.on_crash(CrashPolicy::Record);
        self
    }

    /// Changes anything about the gateway underneath.
    #[must_use]
    pub fn gateway(mut self, change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        self.gateway = change(self.gateway);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// When the filter is not built, or does not accept the configuration.
    #[must_use]
    pub fn start(self) -> FilterWorld {
        let text = self
            .raw_configuration
            .unwrap_or_else(|| self.configuration.to_string());
        let mut gateway = self.gateway.plugin_configuration(text);
        if self.knows_control {
            gateway = gateway.cluster(CONTROL_CLUSTER);
        }
        FilterWorld::start(gateway, self.configuration, self.upstream)
    }
}
