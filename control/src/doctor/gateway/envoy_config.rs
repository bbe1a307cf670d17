//! What Envoy's configuration dump states about the filter: in which listeners it is, which module, and which routes have it.

use serde_json::Value;

/// The filter's `root_id`.
const ROOT_ID: &str = "tokenward";
/// The annotation as Envoy Gateway hands it on, without its own prefix.
const ANNOTATION: &str = "tokenward-server";

/// The parts of a dump that concern the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EnvoyConfig {
    /// The filter, once for each filter chain that has it.
    pub(super) filters: Vec<RunningFilter>,
    /// Listeners that are not in service: Envoy still fetches what they need.
    pub(super) waiting: Vec<String>,
    /// Listeners that Envoy refused, and why.
    pub(super) rejected: Vec<String>,
    /// All routes.
    pub(super) routes: Vec<EnvoyRoute>,
}

/// The filter in one filter chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningFilter {
    /// Its name in the chain.
    pub(super) name: String,
    /// SHA-256 of the module; `None` where it comes from a file.
    pub(super) sha256: Option<String>,
    /// Whether routes must switch it on.
    pub(super) is_disabled: bool,
    /// The servers in its own configuration, with whether they match without an annotation.
    pub(super) servers: Vec<(String, bool)>,
    /// Whether it asks control for the servers.
    pub(super) asks_control: bool,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvoyRoute {
    pub(super) name: String,
    /// The server in its annotation.
    pub(super) server: Option<String>,
    /// Filters that it switches on or configures.
    pub(super) filters: Vec<String>,
    /// The status that Envoy itself answers with, in place of a server.
    pub(super) own_status: Option<u64>,
}

impl EnvoyConfig {
    /// Reads the answer of `/config_dump`.
    pub(super) fn read(dump: &Value) -> Self {
        let mut found = Self::default();
        for part in list(&dump["configs"]) {
            let kind = part["@type"].as_str().unwrap_or_default();
            if kind.ends_with(".ListenersConfigDump") {
                found.read_listeners(part);
            } else if kind.ends_with(".RoutesConfigDump") {
                for config in ["static_route_configs", "dynamic_route_configs"]
                    .into_iter()
                    .flat_map(|kind| list(&part[kind]))
                {
                    found.read_routes(&config["route_config"]);
                }
            }
        }
        found
    }

    fn read_listeners(&mut self, dump: &Value) {
        for listener in list(&dump["static_listeners"]) {
            self.read_listener(&listener["listener"]);
        }
        for listener in list(&dump["dynamic_listeners"]) {
            let name = text(&listener["name"]);
            if let Some(details) = listener["error_state"]["details"].as_str() {
                self.rejected.push(format!("{name}: {}", shown(details)));
            }
            if listener["active_state"].is_object() {
                self.read_listener(&listener["active_state"]["listener"]);
            } else if listener["warming_state"].is_object() {
                self.waiting.push(name);
            }
        }
    }

    fn read_listener(&mut self, listener: &Value) {
        let chains = list(&listener["filter_chains"]).iter();
        for chain in chains.chain([&listener["default_filter_chain"]]) {
            for network in list(&chain["filters"]) {
                let connections = &network["typed_config"];
                let filters = list(&connections["http_filters"]);
                self.filters
                    .extend(filters.iter().filter_map(RunningFilter::read));
                // Routes that are part of the listener.
                self.read_routes(&connections["route_config"]);
            }
        }
    }

    fn read_routes(&mut self, config: &Value) {
        for host in list(&config["virtual_hosts"]) {
            for route in list(&host["routes"]) {
                let levels = [config, host, route];
                let filters = levels
                    .into_iter()
                    .filter_map(|level| level["typed_per_filter_config"].as_object());
                let route = EnvoyRoute {
                    name: format!("{} of {}", text(&route["name"]), text(&host["name"])),
                    server: annotation(route),
                    filters: filters.flat_map(|filters| filters.keys().cloned()).collect(),
                    own_status: own_status(route),
                };
                // Envoy lists inline routes in both parts of the dump.
                if !self.routes.contains(&route) {
                    self.routes.push(route);
                }
            }
        }
    }
}

impl RunningFilter {
    fn read(filter: &Value) -> Option<Self> {
        let plugin = &filter["typed_config"]["config"];
        let written = plugin["configuration"]["value"].as_str().unwrap_or_default();
        let configuration: Value = serde_json::from_str(written).unwrap_or_default();
        (plugin["root_id"] == ROOT_ID).then(|| Self {
            name: text(&filter["name"]),
            sha256: plugin["vm_config"]["code"]["remote"]["sha256"]
                .as_str()
                .map(str::to_owned),
            is_disabled: filter["disabled"] == true,
            servers: servers(&configuration),
            asks_control: configuration["state"].is_object(),
        })
    }

    /// Whether requests on `route` come to it.
    pub(super) fn is_on(&self, route: &EnvoyRoute) -> bool {
        !self.is_disabled || route.filters.contains(&self.name)
    }
}

/// The names in the filter's configuration, and whether each matches by host or path.
fn servers(configuration: &Value) -> Vec<(String, bool)> {
    list(&configuration["servers"])
        .iter()
        .filter_map(|server| {
            let matches = server["host"].is_string() || server["path_prefix"].is_string();
            Some((server["name"].as_str()?.to_owned(), matches))
        })
        .collect()
}

/// The status that Envoy answers with in place of a resource's route. Envoy Gateway's own listener for readiness probes has a route
/// that answers 500, too, and that is of no resource.
fn own_status(route: &Value) -> Option<u64> {
    let is_of_a_resource = route["metadata"]["filter_metadata"]["envoy-gateway"]["resources"].is_array();
    route["direct_response"]["status"]
        .as_u64()
        .filter(|_| is_of_a_resource)
}

fn annotation(route: &Value) -> Option<String> {
    let resources = list(&route["metadata"]["filter_metadata"]["envoy-gateway"]["resources"]);
    resources
        .iter()
        .find_map(|resource| resource["annotations"][ANNOTATION].as_str())
        .map(str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("(without a name)").to_owned()
}

fn shown(details: &str) -> String {
    const LONGEST: usize = 200;
    details
        .chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}
