//! What a [`WorldBuilder`] tells each part of the others.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::authorization::AuthorizationServer;
use super::super::relay::Relay;
use super::super::resources::Resources;
use super::super::{CLIENT, LOCAL};
use super::{CONNECTOR, CONTROL_DEADLINE, FILTER_DEADLINE, STORE_DEADLINE, WorldBuilder};
use crate::issuer::Issuer;
use crate::mcp_server::McpServer;
use crate::parts::{
    Control, ControlConfig, ControlStore, EnvoyConfig, EnvoyFilter, EnvoyRoute, Valkey, tools,
};

impl WorldBuilder {
    pub(super) fn control_config<I: Issuer>(
        &self,
        home: &I,
        remote: &I,
        valkey: Option<&Valkey>,
    ) -> ControlConfig {
        let mut config = ControlConfig::default()
            .issuer(home, CLIENT.0, CLIENT.1)
            .forwarding_server(LOCAL, &[CLIENT.0]);
        if self.access_tokens {
            config.servers[0].forward = Some("access_token");
        }
        if let Some(relay) = &self.relay {
            relay.configure(&mut config.issuers[0], home);
        }
        for (name, client) in self.exchange_clients() {
            config = config.exchanging_server(&name, remote, CONNECTOR, (&client.id, &client.secret));
        }
        if let Some(valkey) = valkey {
            config.store = ControlStore::Valkey {
                url: valkey.url(),
                password: None,
            };
        }
        if let Some(resources) = self.resources {
            for server in &mut config.servers {
                server.resource = Some(resources.resource(&server.name));
            }
        }
        if let Some(authorization) = &self.authorization {
            authorization.configure(&mut config, home.issuer(), &self.authorization_settings);
        }
        if !self.usual_deadlines {
            config.store_deadline = Some(STORE_DEADLINE.to_owned());
            config
                .settings
                .push(("caller_deadline".to_owned(), json!(CONTROL_DEADLINE)));
        }
        config.tls.clone_from(&self.control_tls);
        config.settings.extend(self.control_settings.iter().cloned());
        config
    }

    pub(super) fn envoy_config<I: Issuer>(
        &self,
        home: &I,
        remote: &I,
        controls: &[&Control],
        servers: &BTreeMap<String, McpServer>,
    ) -> anyhow::Result<EnvoyConfig> {
        let routes = servers.iter().map(|(name, server)| {
            let route = EnvoyRoute::new(&format!("/{name}"), server.address());
            if self.annotated {
                route.annotation("tokenward-server", name)
            } else {
                route
            }
        });
        let [control, replicas @ ..] = controls else {
            anyhow::bail!("no control service");
        };
        let control_replicas: Vec<_> = replicas.iter().map(|replica| replica.address()).collect();
        let documents = self.resources.map(|_| Resources::route(control.address()));
        let relay = self.relay.as_ref().map(|_| Relay::route(home, control.address()));
        let public = self.authorization.iter();
        let public = public.flat_map(|_| AuthorizationServer::routes(control.address()));
        let to_control = documents.into_iter().chain(relay).chain(public).map(|mut route| {
            route.server_replicas.clone_from(&control_replicas);
            route
        });
        let credential = &control.config().filter_credential;
        let filter = EnvoyFilter {
            module: tools::filter_module()?,
            configuration: self.filter_configuration(home, remote),
            credential: Some(secrecy::ExposeSecret::expose_secret(credential).to_owned()),
        };
        Ok(EnvoyConfig {
            workers: self.workers,
            listener_port: self.listener_port,
            listener_from_file: self.listener_from_file,
            large_headers: self.large_headers,
            filter: self.filter_on.then_some(filter),
            module_from_control: None,
            clock: None,
            control: Some(self.filter_calls.unwrap_or(control.address())),
            routes: routes.chain(to_control).collect(),
            control_replicas: control_replicas.clone(),
            control_tls: self.control_tls.clone(),
            ..EnvoyConfig::default()
        })
    }

    fn filter_configuration<I: Issuer>(&self, home: &I, remote: &I) -> Value {
        let place = |server: &mut Value, name: &str| {
            if !self.annotated {
                server["path_prefix"] = json!(format!("/{name}"));
            }
        };
        let mut local = json!({
            "name": LOCAL,
            "auth": {"kind": "forward", "issuer": home.issuer(), "required_audiences": [CLIENT.0]},
        });
        if self.access_tokens {
            local["auth"]["delivered"] = json!("opaque");
        }
        place(&mut local, LOCAL);
        let mut servers = vec![local];
        for (name, client) in self.exchange_clients() {
            let mut server = json!({
                "name": name,
                "auth": {
                    "kind": "exchange", "issuer": remote.issuer(), "required_audiences": [client.id],
                    "subject_issuer": home.issuer(), "subject_audiences": [CLIENT.0],
                },
            });
            place(&mut server, &name);
            servers.push(server);
        }
        let mut configuration = json!({
            "control": {"cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}},
            "session_headers": ["x-tokenward-session"],
            "resource_metadata": "https://gateway.example.com/.well-known/oauth-protected-resource",
            "servers": servers,
        });
        if let (Some(resources), Some(authorization)) = (self.resources, &self.authorization) {
            // Each server's `resource_metadata` follows from its `resource`.
            for server in configuration["servers"].as_array_mut().into_iter().flatten() {
                server["resource"] = json!(resources.resource(server["name"].as_str().unwrap_or_default()));
            }
            configuration["authorization_server"] = json!({"issuer": authorization.issuer(), "scope": "mcp"});
        } else if let Some(resources) = self.resources {
            for server in configuration["servers"].as_array_mut().into_iter().flatten() {
                server["resource_metadata"] =
                    json!(resources.document(server["name"].as_str().unwrap_or_default()));
            }
        }
        if !self.usual_deadlines {
            configuration["control"]["timeout"] = json!(FILTER_DEADLINE);
        }
        for (name, value) in &self.filter_settings {
            configuration[name] = value.clone();
        }
        configuration
    }
}
