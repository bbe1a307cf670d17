//! What the doctor reads in the resources that kubectl prints.

use serde_json::{Value, json};
use tokenward_control::doctor::{Check, CheckOutcome, Report, Targets, examine_targets};

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn policy(name: &str, root_id: &str, condition: &Value) -> Value {
    json!({
        "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": name, "namespace": "mcp"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"}],
            "wasm": [{"rootID": root_id, "code": {"type": "HTTP", "http": {"sha256": DIGEST}}}],
        },
        "status": {"ancestors": [{"conditions": [condition]}]},
    })
}

fn accepted() -> Value {
    json!({"type": "Accepted", "status": "True", "reason": "Accepted", "message": "Policy has been accepted."})
}

fn refused(reason: &str, message: &str) -> Value {
    json!({"type": "Accepted", "status": "False", "reason": reason, "message": message})
}

fn route(name: &str, server: Option<&str>) -> Value {
    let annotations = server.map_or_else(
        || json!({}),
        |server| json!({"gateway.envoyproxy.io/tokenward-server": server}),
    );
    json!({"kind": "HTTPRoute", "metadata": {"name": name, "namespace": "mcp", "annotations": annotations}})
}

/// The report on a list of these resources, with the served digest if there is one.
async fn report(resources: Vec<Value>, digest: Option<&str>) -> Report {
    let targets = Targets {
        resources: Some(json!({"kind": "List", "items": resources})),
        filter_sha256: digest.map(str::to_owned),
        ..Targets::default()
    };
    examine_targets(None, &targets).await
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    let mut found = report.checks.iter().filter(|check| check.name == name);
    let check = found
        .next()
        .unwrap_or_else(|| panic!("no check {name:?}:\n{report}"));
    assert!(found.next().is_none(), "{report}");
    check
}

#[tokio::test]
async fn a_conflicted_policy_is_named_with_the_one_that_it_conflicts_with() {
    let ours = policy(
        "tokenward",
        "tokenward",
        &refused(
            "Conflicted",
            "Unable to target Gateway mcp, another EnvoyExtensionPolicy has already attached to it",
        ),
    );
    let other = policy("headers", "other", &accepted());
    let report = report(vec![ours, other], Some(DIGEST)).await;
    assert_eq!(report.outcome, CheckOutcome::Fail, "{report}");
    let found = check(&report, "EnvoyExtensionPolicy mcp/tokenward");
    assert_eq!(found.outcome, CheckOutcome::Fail);
    assert!(found.finding.contains("Conflicted with mcp/headers"), "{report}");
    assert!(found.finding.contains("requests pass unchecked"), "{report}");
    assert!(found.hint.contains("leave one EnvoyExtensionPolicy"), "{report}");
}

#[tokio::test]
async fn an_accepted_policy_with_the_served_digest_is_good_and_the_rest_is_listed_as_not_looked_at() {
    let resources = vec![
        policy("tokenward", "tokenward", &accepted()),
        route("kubernetes", Some("kubernetes")),
        route("console", None),
    ];
    let report = report(resources, Some(DIGEST)).await;
    assert_eq!(report.outcome, CheckOutcome::Ok, "{report}");
    let name = "EnvoyExtensionPolicy mcp/tokenward";
    assert_eq!(check(&report, name).outcome, CheckOutcome::Ok);
    let module = check(&report, "EnvoyExtensionPolicy mcp/tokenward: filter module");
    assert!(module.finding.contains(DIGEST), "{report}");
    assert_eq!(
        check(&report, "routes").finding,
        "1 of 2 HTTPRoutes name a server"
    );
    let skipped: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.outcome == CheckOutcome::Skipped)
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(
        skipped,
        ["control", "gateway: requests", "envoy: filter and routes"],
        "{report}"
    );
}

#[tokio::test]
async fn other_digests_refused_patches_and_policies_that_are_missing_or_not_seen_are_failures() {
    let other = "0".repeat(64);
    let found = report(vec![policy("tokenward", "tokenward", &accepted())], Some(&other)).await;
    let module = check(&found, "EnvoyExtensionPolicy mcp/tokenward: filter module");
    assert_eq!(module.outcome, CheckOutcome::Fail);
    assert!(
        module.finding.contains(DIGEST) && module.finding.contains(&other),
        "{found}"
    );

    let found = report(vec![policy("headers", "other", &accepted())], None).await;
    assert!(check(&found, "policies").finding.contains("none of 1"), "{found}");
    assert_eq!(found.outcome, CheckOutcome::Fail);

    let mut unseen = policy("tokenward", "tokenward", &accepted());
    unseen["status"] = json!({});
    let found = report(vec![unseen], None).await;
    assert!(
        check(&found, "EnvoyExtensionPolicy mcp/tokenward")
            .finding
            .contains("no status"),
        "{found}"
    );

    let message = "EnvoyPatchPolicy is disabled in the EnvoyGateway configuration";
    let mut patch = policy("tokenward", "-", &refused("Disabled", message));
    patch["kind"] = json!("EnvoyPatchPolicy");
    let found = report(vec![policy("tokenward", "tokenward", &accepted()), patch], None).await;
    let patch = check(&found, "EnvoyPatchPolicy mcp/tokenward");
    assert!(patch.finding.contains(message), "{found}");
    assert_eq!(patch.outcome, CheckOutcome::Fail);
}
