//! What the doctor finds at a real Envoy Gateway: a policy that is in force, one that is `Conflicted` with a second policy on
//! the same Gateway, and one whose module has another digest than the served one.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::{DoctorRun, EnvoyGateway, documents};
use tokenward_harness::world::{LOCAL, World};

const STATUS_WITHIN: Duration = Duration::from_secs(60);
/// Envoy Gateway's standalone mode logs a status in place of writing it to the resource.
const STATUS: &str = "Got new status for EnvoyExtensionPolicy";

/// A policy of another team, which Envoy Gateway takes first: of policies of one age it takes the first by name.
fn other(port: u16) -> Value {
    let backend = json!({"group": "gateway.envoyproxy.io", "kind": "Backend", "name": LOCAL, "port": port});
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": "headers", "namespace": "mcp"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"}],
            // It does not answer as an external processor, and lets requests pass.
            "extProc": [{"backendRefs": [backend], "failOpen": true}],
        },
    })
}

/// The status that Envoy Gateway gave the filter's policy, once it has.
async fn conflicted(gateway: &EnvoyGateway) -> anyhow::Result<Value> {
    let log = gateway.log();
    let is_reason = |line: &str| line.trim() == "reason: Conflicted";
    log.wait_for_line(is_reason, STATUS_WITHIN).await?;
    let reason = log.lines().iter().position(|line| is_reason(line));
    let reason = reason.context("no such line")?;
    // The last member of the status.
    let is_last = |line: &str| line.trim_start().starts_with("controllerName: ");
    log.wait_for_line_after(reason, is_last, STATUS_WITHIN).await?;
    let lines = log.lines();
    let (before, after) = lines.split_at(reason);
    let begin = before.iter().rposition(|line| line.contains(STATUS));
    let begin = begin.context("no status before it")? + 1;
    // The YAML ends where the next line of the log begins.
    let is_yaml = |line: &&String| line.starts_with([' ', '-']) || line.starts_with("ancestors:");
    let end = after.iter().take_while(is_yaml);
    let yaml: Vec<&str> = before[begin..].iter().chain(end).map(String::as_str).collect();
    Ok(serde_saphyr::from_str(&yaml.join("\n"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_policy_on_the_gateway_is_found_by_each_of_the_doctors_ways() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("a conflicted policy").await? else {
        return Ok(());
    };
    let gateway = world.install(&installation).await?;
    let url = format!("{}/{LOCAL}/mcp", gateway.url());
    let config = world.control.config_file().display().to_string();
    let admin = gateway.admin_url();
    let arguments = |more: &[&str]| -> Vec<String> {
        let named = ["--config", &config, "--gateway", &url, "--envoy-admin", &admin];
        named.iter().chain(more).map(|word| (*word).to_owned()).collect()
    };
    let good = DoctorRun::of(&arguments(&[]), "")?;
    assert_eq!(good.names("fail"), [""; 0], "{}", good.printed);
    assert_eq!(good.check("a stale token")?.outcome, "ok", "{}", good.printed);
    assert_eq!(good.check("envoy: routes")?.outcome, "ok", "{}", good.printed);
    assert!(
        good.check("envoy: filter module")?
            .finding
            .contains(&world.module_digest().await?),
        "{}",
        good.printed
    );

    let resources = world.resources(&installation)?;
    let ours = documents(&resources)
        .into_iter()
        .find(|resource| resource.kind == "EnvoyExtensionPolicy")
        .context("no policy of the filter")?;
    let other = other(world.server(LOCAL).address().port());
    gateway.replace_resources(&format!("{resources}\n---\n{other}"))?;
    let status = conflicted(&gateway).await?;
    gateway.wait_for_listeners_without("tokenward").await?;

    let mut policy: Value = serde_saphyr::from_str(&ours.yaml)?;
    policy["status"] = status;
    let printed = json!({"kind": "List", "items": [policy, other]}).to_string();
    let run = DoctorRun::of(&arguments(&["--resources", "-"]), &printed)?;
    assert!(!run.succeeded, "{}", run.printed);
    let filter = run.check("/mcp: filter")?;
    assert_eq!(filter.outcome, "fail", "{}", run.printed);
    assert!(
        filter.finding.contains("without a refusal of the filter"),
        "{filter:?}"
    );
    assert!(filter.hint.contains("Conflicted"), "{filter:?}");
    assert_eq!(run.check("a stale token")?.outcome, "fail", "{}", run.printed);
    assert_eq!(run.check("envoy: filter")?.outcome, "fail", "{}", run.printed);
    let policy = run.check("EnvoyExtensionPolicy mcp/tokenward")?;
    assert!(
        policy.finding.contains("Conflicted with mcp/headers"),
        "{policy:?}"
    );
    assert!(policy.finding.contains("requests pass unchecked"), "{policy:?}");
    Ok(())
}

/// Envoy Gateway then lets no request through, and answers in place of the routes.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_another_digest_is_found_by_a_request_and_in_envoy() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("another digest").await? else {
        return Ok(());
    };
    let pinned = "1".repeat(64);
    let installation = installation.value("/gateway/filter/sha256", pinned.clone())?;
    let gateway = world.install(&installation).await?;
    let url = format!("{}/{LOCAL}/mcp", gateway.url());
    let (control, admin) = (world.control.url(), gateway.admin_url());
    let named = [
        "--control",
        &control,
        "--filter-sha256",
        &pinned,
        "--gateway",
        &url,
        "--envoy-admin",
        &admin,
    ];
    let run = DoctorRun::of(&named, "")?;
    assert!(!run.succeeded, "{}", run.printed);
    let filter = run.check("/mcp: filter")?;
    assert!(filter.finding.contains("an empty 500"), "{}", run.printed);
    assert!(filter.hint.contains("gateway.filter.sha256"), "{filter:?}");
    let module = run.check("/: filter module")?;
    let served = world.module_digest().await?;
    assert!(
        module.finding.contains(&served) && module.finding.contains(&pinned),
        "{module:?}"
    );
    let missing = run.check("envoy: filter")?;
    assert_eq!(missing.outcome, "fail", "{}", run.printed);
    assert!(
        missing.finding.contains("Envoy itself answers 500 on"),
        "{missing:?}"
    );
    Ok(())
}
