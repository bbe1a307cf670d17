//! `tokenward doctor --gateway`: whether the filter stands before the servers, which module it is, and whether it reaches
//! control. What cannot be learned from what was named is listed as not looked at.
//!
//! A request at the gateway shows what a client gets; Envoy's admin interface and the resources as kubectl prints them show
//! why. Nothing is changed; the gateway logs at most one WARN for each made-up token.

mod answer;
mod control_service;
mod envoy_admin;
mod envoy_config;
mod policies;
mod route;
mod stale_token;
mod target;

use url::Url;

pub use self::target::Targets;

use super::probe::Prober;
use super::report::Check;
use crate::config::Config;

/// Checks what `targets` name.
pub(super) struct GatewayChecks<'a> {
    pub(super) prober: &'a Prober,
    /// Control's configuration, if it is at hand.
    pub(super) config: Option<&'a Config>,
    pub(super) targets: &'a Targets,
}

/// One URL to request, and the `Host` that it is requested with if it is not the URL's own.
#[derive(Debug, Clone)]
struct Route {
    url: Url,
    host: Option<String>,
}

impl GatewayChecks<'_> {
    /// All checks, from control outwards to the gateway.
    pub(super) async fn all(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let digest = self.control_service(&mut checks).await;
        let routes = self.routes();
        let mut seen = Vec::new();
        for route in &routes {
            checks.extend(self.route(route, &mut seen).await);
        }
        checks.extend(self.servers_not_seen(&seen));
        checks.extend(self.envoy_admin(digest.as_deref()).await);
        checks.extend(self.resources(digest.as_deref()));
        checks.extend(self.not_looked_at());
        checks
    }

    /// The named URLs; one without a path stands for the resources of all servers.
    fn routes(&self) -> Vec<Route> {
        let resources = || self.config.into_iter().flat_map(|config| &config.servers);
        let mut routes = Vec::new();
        for gateway in &self.targets.gateways {
            let before = routes.len();
            if gateway.path() == "/" {
                routes.extend(resources().filter_map(|server| {
                    let resource = &server.resource.as_ref()?.url;
                    let mut url = gateway.clone();
                    url.set_path(resource.path());
                    Some(Route {
                        host: (resource.authority() != gateway.authority())
                            .then(|| resource.authority().to_owned()),
                        url,
                    })
                }));
            }
            if routes.len() == before {
                routes.push(Route {
                    url: gateway.clone(),
                    host: None,
                });
            }
        }
        routes
    }

    /// Configured servers that no answer named.
    fn servers_not_seen(&self, seen: &[String]) -> Option<Check> {
        let servers = &self.config?.servers;
        let missing: Vec<&str> = servers
            .iter()
            .map(|server| server.name.as_str())
            .filter(|name| !seen.iter().any(|seen| seen == name))
            .collect();
        (!self.targets.gateways.is_empty() && !missing.is_empty()).then(|| {
            Check::skipped(
                "gateway: other servers",
                format!("no request was answered for {}", missing.join(", ")),
                "name the URL of each with --gateway, as its clients use it",
            )
        })
    }

    /// What nothing was named for.
    fn not_looked_at(&self) -> Vec<Check> {
        const REQUESTS: &str =
            "--gateway https://mcp.example.com/kubernetes/mcp, the URL of a server as its clients use it";
        const ADMIN: &str =
            "--envoy-admin http://127.0.0.1:19000, after kubectl port-forward to port 19000 of an Envoy pod";
        const RESOURCES: &str = "kubectl get envoyextensionpolicies,envoypatchpolicies,httproutes -A -o json | tokenward doctor \
                                 --resources - …";
        let targets = self.targets;
        let parts = [
            (
                targets.control.is_none(),
                "control",
                "whether control is ready, and which module it serves, was not read",
                "--control http://tokenward.mcp:8080, control's Service",
            ),
            (
                targets.gateways.is_empty(),
                "gateway: requests",
                "no request was sent to the gateway",
                REQUESTS,
            ),
            (
                targets.envoy_admin.is_none(),
                "envoy: filter and routes",
                "which module runs, and on which routes, was not read from Envoy",
                ADMIN,
            ),
            (
                targets.resources.is_none(),
                "policies",
                "the status of EnvoyExtensionPolicies (Accepted, Conflicted) was not read",
                RESOURCES,
            ),
        ];
        // Control alone was named: the gateway is not the subject.
        let subject =
            !targets.gateways.is_empty() || targets.envoy_admin.is_some() || targets.resources.is_some();
        parts
            .into_iter()
            .filter(|(missing, ..)| subject && *missing)
            .map(|(_, name, finding, hint)| Check::skipped(name, finding, hint))
            .collect()
    }
}
