//! Control itself: whether it is ready, and which filter module it serves.

use reqwest::header::HeaderName;
use tokenward_protocol::token_endpoint::MARKER_HEADER;
use url::Url;

use super::GatewayChecks;
use crate::doctor::probe::ProbeAnswer;
use crate::doctor::report::Check;

impl GatewayChecks<'_> {
    /// Checks control and returns the digest of the module that the gateway must run.
    pub(super) async fn control_service(&self, checks: &mut Vec<Check>) -> Option<String> {
        let module = self.config.and_then(|config| config.filter_module.as_ref());
        let configured = module.map(|module| module.sha256.clone());
        let pinned = self.targets.filter_sha256.clone();
        let Some(control) = &self.targets.control else {
            return pinned.or(configured);
        };
        checks.push(self.ready(control).await);
        let served = self.digest(control).await;
        checks.extend(module_check(control, served.as_deref(), pinned.as_deref()));
        pinned.or(served).or(configured)
    }

    async fn ready(&self, control: &Url) -> Check {
        let name = format!("control {control}");
        let answer = match self.prober.get(&below(control, "/readyz")).await {
            Ok(answer) => answer,
            Err(failure) => return Check::failed(name, failure),
        };
        if !answer.is_marked {
            return Check::fail(
                name,
                format!("something else than control answers (status {})", answer.status),
                "name control's own address, such as http://tokenward.mcp:8080",
            );
        }
        if answer.status == 200 {
            return Check::ok(name, format!("ready, version {}", version(&answer)));
        }
        let document = answer.json().unwrap_or_default();
        let cause = document["cause"].as_str().unwrap_or("the cause is in its log");
        Check::fail(
            name,
            format!("not ready (status {}): {cause}", answer.status),
            "run doctor with --config where control runs: it names the remedy",
        )
    }

    async fn digest(&self, control: &Url) -> Option<String> {
        let url = below(control, "/filter/tokenward.wasm.sha256");
        let answer = self.prober.get(&url).await.ok()?;
        let line = String::from_utf8(answer.body).ok()?;
        let digest = line.split_whitespace().next()?.to_owned();
        (answer.status == 200 && answer.is_marked && digest.len() == 64).then_some(digest)
    }
}

/// Whether the module that control serves is the pinned one.
fn module_check(control: &Url, served: Option<&str>, pinned: Option<&str>) -> Option<Check> {
    let name = format!("control {control}: filter module");
    match (served, pinned) {
        (Some(served), Some(pinned)) if served != pinned => Some(Check::fail(
            name,
            format!("control serves sha256 {served}, and the gateway is configured with {pinned}"),
            "put the served digest into gateway.filter.sha256: Envoy Gateway refuses any other module, and answers 500 \
             meanwhile",
        )),
        (Some(served), _) => Some(Check::ok(name, format!("sha256 {served}"))),
        (None, Some(pinned)) => Some(Check::fail(
            name,
            format!("control serves no module, and the gateway is configured with {pinned}"),
            "set filter_module in control's configuration, or gateway.filter.source: image",
        )),
        (None, None) => None,
    }
}

fn version(answer: &ProbeAnswer) -> String {
    let marker = answer.header(HeaderName::from_static(MARKER_HEADER));
    marker
        .unwrap_or_default()
        .chars()
        .filter(|letter| letter.is_ascii_graphic())
        .take(40)
        .collect()
}

/// A path of control.
fn below(control: &Url, path: &str) -> Url {
    let mut url = control.clone();
    url.set_path(path);
    url.set_query(None);
    url
}
