//! The resources as kubectl prints them: whether Envoy Gateway has accepted the filter's policy, and which routes name a server.

use serde_json::Value;

use super::GatewayChecks;
use crate::doctor::report::Check;

/// The annotation by which a route names its server.
const ANNOTATION: &str = "gateway.envoyproxy.io/tokenward-server";
const ROOT_ID: &str = "tokenward";

impl GatewayChecks<'_> {
    /// Checks what `kubectl get … -o json` printed; `digest` is that of the module that the gateway must run.
    pub(super) fn resources(&self, digest: Option<&str>) -> Vec<Check> {
        let Some(printed) = &self.targets.resources else {
            return Vec::new();
        };
        let resources = Resources::read(printed);
        let mut checks = resources.filter_policies(digest);
        checks.extend(resources.patch_policies());
        checks.extend(self.annotations(&resources));
        checks
    }

    /// Whether each annotation names a server that control knows.
    fn annotations(&self, resources: &Resources<'_>) -> Option<Check> {
        const NAME: &str = "routes";
        let routes = resources.of_kind("HTTPRoute");
        if routes.is_empty() {
            return Some(Check::skipped(
                NAME,
                "no HTTPRoute was given",
                "add httproutes to kubectl get",
            ));
        }
        let annotated: Vec<(String, &str)> = routes
            .iter()
            .filter_map(|route| {
                Some((
                    place(route),
                    route["metadata"]["annotations"][ANNOTATION].as_str()?,
                ))
            })
            .collect();
        let unknown: Vec<String> = self
            .config
            .map(|config| {
                let unknown = annotated
                    .iter()
                    .filter(|(_, server)| config.server(server).is_none());
                unknown
                    .map(|(route, server)| format!("{route} ({server})"))
                    .collect()
            })
            .unwrap_or_default();
        Some(if unknown.is_empty() {
            Check::ok(
                NAME,
                format!("{} of {} HTTPRoutes name a server", annotated.len(), routes.len()),
            )
        } else {
            Check::fail(
                NAME,
                format!(
                    "annotated with a server that control does not know: {}",
                    unknown.join(", ")
                ),
                "correct the annotation, or add the server to servers",
            )
        })
    }
}

/// Resources, out of a list or alone.
struct Resources<'a>(Vec<&'a Value>);

impl<'a> Resources<'a> {
    fn read(printed: &'a Value) -> Self {
        match printed["items"].as_array() {
            Some(items) => Self(items.iter().collect()),
            None => Self(vec![printed]),
        }
    }

    fn of_kind(&self, kind: &str) -> Vec<&'a Value> {
        let of_kind = |resource: &&&Value| resource["kind"] == kind;
        self.0.iter().filter(of_kind).copied().collect()
    }

    fn filter_policies(&self, digest: Option<&str>) -> Vec<Check> {
        let policies = self.of_kind("EnvoyExtensionPolicy");
        let ours: Vec<&Value> = policies
            .iter()
            .filter(|policy| is_ours(policy))
            .copied()
            .collect();
        if ours.is_empty() {
            return vec![Check::fail(
                "policies",
                format!("none of {} EnvoyExtensionPolicies has the filter", policies.len()),
                "install the chart with gateway.enabled: true; kubectl needs -A, or the Gateway's namespace",
            )];
        }
        ours.iter()
            .flat_map(|policy| [accepted(policy, &policies), pinned(policy, digest)])
            .flatten()
            .collect()
    }

    fn patch_policies(&self) -> Vec<Check> {
        let policies = self.of_kind("EnvoyPatchPolicy");
        let failed = policies.iter().filter_map(|policy| {
            let condition = conditions(policy).find(|condition| condition["status"] == "False")?;
            Some(Check::fail(
                format!("EnvoyPatchPolicy {}", place(policy)),
                format!("{}: {}", text(&condition["reason"]), text(&condition["message"])),
                "docs/troubleshooting.md lists its messages; without patches: controlCluster: route and failReload: false",
            ))
        });
        failed.collect()
    }
}

/// Whether Envoy Gateway applies the policy. Of two policies on one target it applies the older one.
fn accepted(policy: &Value, all: &[&Value]) -> Option<Check> {
    let name = format!("EnvoyExtensionPolicy {}", place(policy));
    let Some(refused) =
        conditions(policy).find(|condition| condition["type"] == "Accepted" && condition["status"] != "True")
    else {
        return Some(
            if conditions(policy).any(|condition| condition["type"] == "Accepted") {
                Check::ok(name, "Accepted")
            } else {
                Check::fail(
                    name,
                    "it has no status: Envoy Gateway has not looked at it",
                    "does Envoy Gateway run, and do targetRefs name a Gateway of its GatewayClass in the policy's namespace",
                )
            },
        );
    };
    let (reason, message) = (text(&refused["reason"]), text(&refused["message"]));
    if reason == "Conflicted" {
        let others: Vec<String> = all
            .iter()
            .filter(|other| place(other) != place(policy) && share_a_target(other, policy))
            .map(|other| place(other))
            .collect();
        let others = if others.is_empty() {
            "another policy".to_owned()
        } else {
            others.join(", ")
        };
        return Some(Check::fail(
            name,
            format!(
                "Conflicted with {others} on the same target: the filter is not there, and requests pass unchecked"
            ),
            "leave one EnvoyExtensionPolicy for each target: move the other one's wasm, extProc and lua into this one or to its \
             routes (with mergeType), then delete it",
        ));
    }
    Some(Check::fail(
        name,
        format!("{reason}: {message}"),
        "docs/troubleshooting.md, \"At the gateway\", lists its messages",
    ))
}

/// Whether the policy pins the module that control serves.
fn pinned(policy: &Value, digest: Option<&str>) -> Option<Check> {
    let name = format!("EnvoyExtensionPolicy {}: filter module", place(policy));
    let code = list(&policy["spec"]["wasm"])
        .iter()
        .find(|wasm| wasm["rootID"] == ROOT_ID)?;
    let Some(pinned) = code["code"]["http"]["sha256"].as_str() else {
        return Some(Check::skipped(
            name,
            "the module is in an OCI image, whose digest is not the module's",
            "--envoy-admin shows which module runs",
        ));
    };
    Some(match digest {
        Some(digest) if digest != pinned => Check::fail(
            name,
            format!("sha256 {pinned}, and control serves {digest}"),
            "put the served digest into gateway.filter.sha256 (docs/upgrade.md)",
        ),
        _ => Check::ok(name, format!("sha256 {pinned}")),
    })
}

fn is_ours(policy: &Value) -> bool {
    list(&policy["spec"]["wasm"])
        .iter()
        .any(|wasm| wasm["rootID"] == ROOT_ID)
}

fn share_a_target(one: &Value, other: &Value) -> bool {
    let targets = |policy: &Value| -> Vec<String> {
        let single = &policy["spec"]["targetRef"];
        let namespace = text(&policy["metadata"]["namespace"]);
        list(&policy["spec"]["targetRefs"])
            .iter()
            .chain(single.is_object().then_some(single))
            .map(|target| {
                format!(
                    "{}/{namespace}/{}/{}",
                    text(&target["kind"]),
                    text(&target["name"]),
                    text(&target["sectionName"])
                )
            })
            .collect()
    };
    let of_other = targets(other);
    targets(one).iter().any(|target| of_other.contains(target))
}

/// All conditions of a policy's status.
fn conditions(policy: &Value) -> impl Iterator<Item = &Value> {
    let ancestors = list(&policy["status"]["ancestors"]).iter();
    ancestors.flat_map(|ancestor| list(&ancestor["conditions"]))
}

fn place(resource: &Value) -> String {
    let metadata = &resource["metadata"];
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{}", text(&metadata["name"])),
        None => text(&metadata["name"]),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text from outside, shortened.
fn text(value: &Value) -> String {
    const LONGEST: usize = 300;
    let text = value.as_str().unwrap_or_default();
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(LONGEST)
        .collect()
}
