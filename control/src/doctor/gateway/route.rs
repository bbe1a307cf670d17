//! One URL at the gateway: a request without a token, one with a stale token, and the metadata to which the refusal leads.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use tokenward_protocol::refusal::Refusal;
use url::Url;

use super::answer::{Answered, metadata_of};
use super::stale_token::stale_token;
use super::{GatewayChecks, Route};
use crate::doctor::probe::{ProbeAnswer, ProbeFailure};
use crate::doctor::report::{Check, Finding};

/// Where a policy is lost, requests reach the servers unchecked.
const NO_FILTER: &str = "the filter is not on this route: is its EnvoyExtensionPolicy Accepted (a second one on the same Gateway \
                         makes Envoy Gateway mark one of them Conflicted and drop its filter; --resources shows it), and does \
                         no policy on the route replace it? With unmatched: pass the route lacks its annotation";

impl GatewayChecks<'_> {
    /// Checks `route`, and adds the server that the filter names to `seen`.
    pub(super) async fn route(&self, route: &Route, seen: &mut Vec<String>) -> Vec<Check> {
        let named = |part: &str| match &route.host {
            Some(host) => format!("gateway {} (Host {host}): {part}", route.url),
            None => format!("gateway {}: {part}", route.url),
        };
        let first = match self.request(route, None).await {
            Ok(first) => first,
            Err(failure) => {
                let finding = Finding::from(failure).if_only_clients_reach(route.url.as_str());
                return vec![Check::failed(named("filter"), finding)];
            }
        };
        let answered = Answered::read(&first);
        let mut checks = vec![self.filter(named("filter"), &answered)];
        match &answered {
            Answered::Filter {
                server: Some(server), ..
            } => {
                seen.push(server.clone());
                checks.push(self.stale(route, named("a stale token"), Some(server)).await);
                checks.extend(self.metadata(named("metadata"), server, &first).await);
            }
            Answered::Other { .. } => {
                checks.push(self.stale(route, named("a stale token"), None).await);
            }
            _ => {}
        }
        checks
    }

    async fn request(&self, route: &Route, token: Option<&str>) -> Result<ProbeAnswer, ProbeFailure> {
        self.prober
            .get_with(&route.url, |request| {
                let request = match &route.host {
                    Some(host) => request.header(HOST, host),
                    None => request,
                };
                match token {
                    Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
                    None => request,
                }
            })
            .await
    }

    /// What the answer to a request without a token shows of the filter.
    fn filter(&self, name: String, answered: &Answered) -> Check {
        match answered {
            Answered::Filter { refusal, server } => self.refused(name, *refusal, server.as_deref()),
            Answered::Control => Check::warn(
                name,
                "control itself answers here: this is no server's URL",
                "name the URL of a server, as its clients use it",
            ),
            Answered::PolicyNotApplied => Check::fail(
                name,
                "an empty 500: Envoy Gateway could not apply a policy, and lets no request through",
                "read the policy's status (--resources): mostly the module could not be fetched from control, or has another \
                 digest than gateway.filter.sha256",
            ),
            Answered::NotFound => Check::fail(
                name,
                "an empty 404 without a refusal: the gateway has no route for this host and path, or a server answered \
                 past the filter",
                "check the URL, the HTTPRoute's hostnames and its status; if a server answered, the filter is not there",
            ),
            Answered::NoServer => Check::fail(
                name,
                "Envoy has no server behind this route, or could not load the filter's module",
                "look at the Service's endpoints, and at Envoy's log of the logger wasm (Plugin … failed to load)",
            ),
            Answered::Other { status } => Check::fail(
                name,
                format!("a request without a token is answered {status} without a refusal of the filter"),
                NO_FILTER,
            ),
        }
    }

    fn refused(&self, name: String, refusal: Refusal, server: Option<&str>) -> Check {
        match (refusal, server) {
            (Refusal::MissingBearer, Some(server)) => match self.config {
                Some(config) if config.server(server).is_none() => Check::fail(
                    name,
                    format!("the filter names the server {server}, which control does not know"),
                    "bring servers of both into line: the same release of the chart renders both",
                ),
                _ => Check::ok(
                    name,
                    format!("the filter is there, and the route is of server {server}"),
                ),
            },
            (Refusal::Unmatched, _) => Check::fail(
                name,
                "the filter is there, and no server has this host and path (404 unmatched)",
                "annotate the HTTPRoute with gateway.envoyproxy.io/tokenward-server: NAME, or give the server a match; if \
                 this is no MCP server, list it in gateway.filter.unprotected",
            ),
            (Refusal::FilterMisconfigured, _) => Check::fail(
                name,
                "the filter is there, and cannot use its configuration: it refuses every request",
                "Envoy's log names the field (WARN filter misconfigured); for control.credential, the Gateway must name the \
                 EnvoyProxy of the chart, and Envoy's namespace needs the Secret",
            ),
            (other, _) => Check::warn(
                name,
                format!(
                    "the filter is there, and refuses a request without a token as {}",
                    other.name()
                ),
                "docs/troubleshooting.md lists the refusals",
            ),
        }
    }

    /// Where a stale token of `server` ends. A made-up one is refused by control, which shows that the filter's credential is good.
    async fn stale(&self, route: &Route, name: String, server: Option<&str>) -> Check {
        let Some(config) = self.config else {
            return Check::skipped(
                name,
                "not tried: the issuer and the audiences of the server's tokens are not known",
                "give control's --config as well, for example in control's pod",
            );
        };
        let mut last = None;
        for (index, issuer) in config.issuers.iter().enumerate() {
            let configured = server.and_then(|server| config.server(server));
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let nonce = format!("{}-{index}", now.as_nanos());
            let token = stale_token(config, issuer, configured, &nonce);
            let answer = match self.request(route, Some(&token)).await {
                Ok(answer) => answer,
                Err(failure) => return Check::failed(name, failure),
            };
            let answered = Answered::read(&answer);
            let other_issuer = matches!(
                answered,
                Answered::Filter {
                    refusal: Refusal::WrongIssuer,
                    ..
                }
            );
            last = Some(answered);
            if !other_issuer {
                break;
            }
        }
        match last {
            Some(Answered::Filter { refusal, .. }) => of_refused_token(name, refusal),
            Some(other) => Check::fail(
                name,
                format!(
                    "a stale token is not refused by the filter: {}",
                    described(&other)
                ),
                NO_FILTER,
            ),
            None => Check::skipped(name, "not tried: no issuer is configured", ""),
        }
    }

    /// The metadata (RFC 9728) that the challenge names.
    async fn metadata(&self, name: String, server: &str, refused: &ProbeAnswer) -> Option<Check> {
        let challenge = refused.header(WWW_AUTHENTICATE).unwrap_or_default();
        let Some(address) = metadata_of(challenge) else {
            let resource = self.config?.server(server)?.resource.as_ref()?;
            return Some(Check::warn(
                name,
                format!(
                    "the refusal names no resource_metadata, although the server has the resource {}",
                    resource.identifier
                ),
                "set resource of this server in the filter's configuration as well: MCP clients find the login by it",
            ));
        };
        let url = match Url::parse(address) {
            Ok(url) => url,
            Err(error) => {
                return Some(Check::fail(
                    name,
                    format!("resource_metadata is not a URL: {error}"),
                    "correct resource of this server",
                ));
            }
        };
        let answer = match self.prober.get(&url).await {
            Ok(answer) => answer,
            Err(failure) => {
                return Some(Check::warned(
                    name,
                    Finding::from(failure).if_only_clients_reach(address),
                ));
            }
        };
        Some(match (answer.status, answer.is_marked) {
            (200, true) => Check::ok(name, format!("control serves {address}")),
            (status, true) => Check::fail(
                name,
                format!("{address}: control is reached, and answers {status}"),
                "the resource of this server in control's configuration is another URL, or a proxy changes the Host header",
            ),
            (status, false) => Check::fail(
                name,
                format!("{address}: something else than control answers ({status})"),
                "route /.well-known/oauth-protected-resource of this host to control (resourceMetadata.hostnames)",
            ),
        })
    }
}

/// What answered in place of the filter.
fn described(answered: &Answered) -> String {
    match answered {
        Answered::Filter { refusal, .. } => refusal.name().to_owned(),
        Answered::Control => "control answered".to_owned(),
        Answered::PolicyNotApplied => "an empty 500".to_owned(),
        Answered::NotFound => "an empty 404".to_owned(),
        Answered::NoServer => "Envoy has no server behind the route".to_owned(),
        Answered::Other { status } => format!("status {status}"),
    }
}

/// What the refusal of a made-up stale token shows.
fn of_refused_token(name: String, refusal: Refusal) -> Check {
    let refused = refusal.name();
    match refusal {
        Refusal::SubjectRejected
        | Refusal::TokenExpired
        | Refusal::WrongTokenType
        | Refusal::UnknownSession
        | Refusal::NeedsLogin => Check::ok(
            name,
            format!("control was called and refused it ({refused}): the filter's credential is good"),
        ),
        Refusal::CallerRejected => Check::fail(
            name,
            "control does not accept the filter's credential (caller_rejected)",
            "copy the Secret of credentials.filterSecretRef into Envoy's namespace again and restart Envoy's pods: they read \
             it when they start",
        ),
        Refusal::ControlUnreachable => Check::fail(
            name,
            "Envoy does not reach control (control_unreachable)",
            "is control ready; its Service; networkPolicy.ingressFrom must name Envoy's namespace; gateway.control if set",
        ),
        Refusal::ControlLate => Check::fail(
            name,
            "control did not answer the filter in time (control_late)",
            "tokenward_issuer_request_seconds and the store's latency; caller_deadline must be shorter than the filter's \
             control.timeout",
        ),
        Refusal::ControlGarbled => Check::fail(
            name,
            "something else than control answers the filter's call, or a control of another version (control_garbled)",
            "check control's cluster in Envoy (gateway.control, controlCluster)",
        ),
        Refusal::FilterMisconfigured => Check::fail(
            name,
            "Envoy has no cluster of the name in the filter's control.cluster (filter_misconfigured)",
            "is the EnvoyPatchPolicy Programmed; with controlCluster: route, is the HTTPRoute …-control Accepted",
        ),
        Refusal::UnknownServer => Check::fail(
            name,
            "control does not know the server that the filter names (unknown_server)",
            "bring servers of both into line and reload control",
        ),
        Refusal::WrongIssuer | Refusal::WrongAudience => Check::fail(
            name,
            format!(
                "the filter expects other tokens for this server than control's configuration has ({refused})"
            ),
            "compare the server's issuer and requiredAudiences in both; until then control was not called",
        ),
        Refusal::StoreUnavailable | Refusal::IssuerUnavailable | Refusal::Busy | Refusal::CallLimit => {
            Check::warn(
                name,
                format!("the filter and control work together, and cannot serve now ({refused})"),
                "see the checks of the store and of the issuers; then run doctor again",
            )
        }
        _ => Check::warn(
            name,
            format!("it was refused as {refused}"),
            "docs/troubleshooting.md lists the refusals",
        ),
    }
}
