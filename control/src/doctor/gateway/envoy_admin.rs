//! Envoy's admin interface: whether the filter runs, which module, and on which routes.

use std::collections::BTreeSet;

use serde_json::Value;
use url::Url;

use super::GatewayChecks;
use super::envoy_config::{EnvoyConfig, EnvoyRoute};
use crate::doctor::report::{Check, Finding};

/// The longest dump that is read, in bytes.
const LONGEST_DUMP: usize = 64 * 1024 * 1024;
/// At most so many names of routes are listed.
const MOST_NAMED: usize = 5;

impl GatewayChecks<'_> {
    /// Checks the Envoy whose admin interface was named; `digest` is that of the module that it must run.
    pub(super) async fn envoy_admin(&self, digest: Option<&str>) -> Vec<Check> {
        let Some(admin) = &self.targets.envoy_admin else {
            return Vec::new();
        };
        let dump = match self.admin(admin, "/config_dump").await {
            Ok(body) => body,
            Err(finding) => return vec![Check::failed(format!("envoy {admin}"), finding)],
        };
        let Ok(dump) = serde_json::from_slice::<Value>(&dump) else {
            return vec![Check::fail(
                format!("envoy {admin}"),
                "/config_dump is not JSON",
                "name Envoy's admin interface, such as http://127.0.0.1:19000",
            )];
        };
        let config = EnvoyConfig::read(&dump);
        let mut checks = listener_checks(&config);
        if config.filters.is_empty() {
            checks.push(no_filter(&config));
            return checks;
        }
        checks.push(module_check(&config, digest));
        checks.extend(self.loaded(admin).await);
        checks.extend(route_checks(&config, self.servers_of(&config).as_ref()));
        checks
    }

    /// The servers that the filters have, with whether each has a match: those of their own configuration, and control's where they
    /// ask it. `None`: control's configuration is not at hand.
    fn servers_of(&self, config: &EnvoyConfig) -> Option<BTreeSet<(String, bool)>> {
        // Several filter chains have the same filter.
        let mut servers: BTreeSet<(String, bool)> = config
            .filters
            .iter()
            .flat_map(|filter| filter.servers.iter().cloned())
            .collect();
        if config.filters.iter().any(|filter| filter.asks_control) {
            let configured = self.config?.servers.iter();
            servers.extend(configured.map(|server| {
                let has_match = server.route.host.is_some() || server.route.path_prefix.is_some();
                (server.name.clone(), has_match)
            }));
        }
        Some(servers)
    }

    async fn admin(&self, admin: &Url, path: &str) -> Result<Vec<u8>, Finding> {
        let url = admin
            .join(path)
            .map_err(|error| Finding::new(error.to_string(), "name it as in http://127.0.0.1:19000"))?;
        let answer = self.prober.get_long(&url, LONGEST_DUMP).await?;
        if answer.status != 200 {
            return Err(Finding::new(
                format!("status {} at {path}", answer.status),
                "name Envoy's admin interface, such as http://127.0.0.1:19000",
            ));
        }
        Ok(answer.body)
    }

    /// Whether Envoy could make VMs of the module.
    async fn loaded(&self, admin: &Url) -> Option<Check> {
        const NAME: &str = "envoy: module loaded";
        let stats = match self.admin(admin, "/stats?filter=wasm").await {
            Ok(stats) => stats,
            Err(finding) => return Some(Check::failed(NAME, finding)),
        };
        let stats = String::from_utf8_lossy(&stats).into_owned();
        let sum = |part: &str| -> u64 {
            let lines = stats.lines().filter_map(|line| line.split_once(": "));
            lines
                .filter(|(name, _)| name.contains(part))
                .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
                .sum()
        };
        let (active, failures) = (sum("wasm.runtime.v8.active"), sum("remote_load_fetch_failures"));
        Some(if active > 0 {
            Check::ok(NAME, format!("{active} VMs run"))
        } else {
            Check::fail(
                NAME,
                format!("no VM runs; the module could not be fetched {failures} times"),
                "Envoy's log of the logger wasm states why (Plugin … failed to load); port 18002 of Envoy Gateway's Service",
            )
        })
    }
}

/// Without the filter requests pass, except where Envoy Gateway answers in place of a policy that it could not apply.
fn no_filter(config: &EnvoyConfig) -> Check {
    const HINT: &str = "read the EnvoyExtensionPolicy's status (--resources): not Accepted, Conflicted with another policy on the \
                        same Gateway, or for another Gateway";
    let routes = config.routes.len();
    let refused = config.routes.iter().filter(|route| route.own_status == Some(500));
    let finding = match refused.count() {
        0 => "no listener in service has the filter: requests pass unchecked".to_owned(),
        refused => format!(
            "no listener in service has the filter; Envoy itself answers 500 on {refused} of {routes} routes, because a policy \
             could not be applied"
        ),
    };
    Check::fail("envoy: filter", finding, HINT)
}

fn listener_checks(config: &EnvoyConfig) -> Vec<Check> {
    let mut checks = Vec::new();
    if !config.waiting.is_empty() {
        checks.push(Check::fail(
            "envoy: listeners",
            format!("not in service yet: {}", config.waiting.join(", ")),
            "Envoy waits for something that the listener needs, mostly the module: its log of the loggers wasm and config",
        ));
    }
    if !config.rejected.is_empty() {
        checks.push(Check::fail(
            "envoy: listeners",
            format!("refused by Envoy: {}", config.rejected.join("; ")),
            "the newest configuration is not in force; read the status of the EnvoyPatchPolicies",
        ));
    }
    checks
}

fn module_check(config: &EnvoyConfig, digest: Option<&str>) -> Check {
    const NAME: &str = "envoy: filter module";
    let mut digests: Vec<&str> = config
        .filters
        .iter()
        .map(|filter| filter.sha256.as_deref().unwrap_or("a file"))
        .collect();
    digests.sort_unstable();
    digests.dedup();
    let running = digests.join(", ");
    let finding = format!(
        "{} filter chains have the filter, sha256 {running}",
        config.filters.len()
    );
    match digest {
        Some(digest)
            if digests
                .iter()
                .any(|running| *running != digest && *running != "a file") =>
        {
            Check::fail(
                NAME,
                format!("{finding}; control serves {digest}"),
                "put control's digest into gateway.filter.sha256 (docs/upgrade.md); with gateway.filter.source: image, release the \
             image of control's version",
            )
        }
        _ => Check::ok(NAME, finding),
    }
}

/// Whether routes have the filter, and whether each of `servers`, the filter's, has one.
fn route_checks(config: &EnvoyConfig, servers: Option<&BTreeSet<(String, bool)>>) -> Vec<Check> {
    let mut checks = Vec::new();
    let is_known =
        |name: &str| servers.is_none_or(|servers| servers.iter().any(|(server, _)| server == name));
    let mut fault = |routes: Vec<&EnvoyRoute>, what: &str, hint: &str| {
        if !routes.is_empty() {
            checks.push(Check::fail(
                "envoy: routes",
                format!("{what}: {}", named(&routes)),
                hint,
            ));
        }
    };
    let routes = config.routes.iter();
    fault(
        routes
            .clone()
            .filter(|route| route.own_status == Some(500))
            .collect(),
        "answered 500 by Envoy itself, because a policy could not be applied",
        "read the policy's status (--resources)",
    );
    fault(
        routes
            .clone()
            .filter(|route| route.server.as_deref().is_some_and(|server| !is_known(server)))
            .collect(),
        "annotated with a server that the filter does not have",
        "correct the annotation, or add the server to servers",
    );
    fault(
        routes
            .clone()
            .filter(|route| route.server.is_some())
            .filter(|route| !config.filters.iter().any(|filter| filter.is_on(route)))
            .collect(),
        "annotated, and the filter is not on them: requests pass unchecked",
        "a policy that targets the route replaces the Gateway's: give it a mergeType",
    );
    let without: Vec<&str> = servers
        .into_iter()
        .flatten()
        .filter(|(name, matches)| {
            !matches && !routes.clone().any(|route| route.server.as_ref() == Some(name))
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !without.is_empty() {
        checks.push(Check::warn(
            "envoy: routes",
            format!("no route leads to the servers {}", without.join(", ")),
            "annotate their HTTPRoutes with gateway.envoyproxy.io/tokenward-server: NAME, or give the servers a match",
        ));
    }
    if checks.is_empty() {
        let annotated = routes.filter(|route| route.server.is_some()).count();
        checks.push(Check::ok(
            "envoy: routes",
            format!(
                "{} of {} routes are annotated; every server has a route or a match",
                annotated,
                config.routes.len()
            ),
        ));
    }
    checks
}

fn named(routes: &[&EnvoyRoute]) -> String {
    let mut names: Vec<&str> = routes
        .iter()
        .take(MOST_NAMED)
        .map(|route| route.name.as_str())
        .collect();
    if routes.len() > MOST_NAMED {
        names.push("and others");
    }
    names.join(", ")
}
