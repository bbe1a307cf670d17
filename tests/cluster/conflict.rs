//! A second EnvoyExtensionPolicy on the Gateway, as operators meet it.

use serde_json::{Value, json};
use tokenward_harness::parts::DoctorRun;
use tokenward_harness::parts::cluster::Named;
use tokenward_harness::world::{ALICE, LOCAL};

use super::installing::RELEASE;
use super::stage::{ENVOY, RECONCILED_WITHIN, Stage, conditions};

/// What `kubectl get envoyextensionpolicies -o json` prints.
async fn printed(stage: &Stage) -> anyhow::Result<String> {
    let items = stage
        .client
        .list(ENVOY, "EnvoyExtensionPolicy", &stage.namespace)
        .await?;
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// A policy of another team. It does not answer as an external processor, and lets requests pass.
fn other(stage: &Stage) -> Value {
    let port = stage.world.server(LOCAL).address().port();
    json!({
        "apiVersion": ENVOY, "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": "headers", "namespace": stage.namespace},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"}],
            "extProc": [{"backendRefs": [{"name": LOCAL, "port": port}], "failOpen": true}],
        },
    })
}

fn is_conflicted(policy: &Value) -> bool {
    conditions(policy).any(|one| one["reason"] == "Conflicted")
}

/// Makes the filter's policy again, which is the younger one then; its status when it has one.
async fn remake(stage: &Stage, ours: Named<'_>, theirs: Named<'_>) -> anyhow::Result<Value> {
    let mut again = stage.client.get(ours).await?.unwrap_or_default();
    stage.client.delete(ours).await?;
    again["metadata"] = json!({"name": RELEASE, "namespace": stage.namespace});
    again["status"] = Value::Null;
    let in_force = |policy: &Value| !is_conflicted(policy);
    stage.client.wait_for(theirs, RECONCILED_WITHIN, in_force).await?;
    stage.client.apply(&again).await?;
    stage
        .client
        .wait_for(ours, RECONCILED_WITHIN, is_conflicted)
        .await
}

async fn doctor(stage: &Stage) -> anyhow::Result<DoctorRun> {
    let config = stage.world.control.config_file().display().to_string();
    let (url, admin) = (
        format!("{}/{LOCAL}/mcp", stage.envoy.url()),
        stage.envoy.admin_url(),
    );
    let named = [
        "--config",
        &config,
        "--gateway",
        &url,
        "--envoy-admin",
        &admin,
        "--resources",
        "-",
    ];
    DoctorRun::of(&named, &printed(stage).await?)
}

/// The older of two policies is in force, so the filter stays until its own is made again: an upgrade that renames the
/// release, for one. Then it comes second, and no request is checked any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_policy_of_another_team_takes_the_filter_away_and_status_and_doctor_name_it()
-> anyhow::Result<()> {
    let stage = Stage::start("conflict").await?;
    let ours = Named {
        api: ENVOY,
        kind: "EnvoyExtensionPolicy",
        namespace: &stage.namespace,
        name: RELEASE,
    };
    let theirs = Named {
        name: "headers",
        ..ours
    };
    let policy = (ENVOY, "EnvoyExtensionPolicy", RELEASE);
    stage.wait_for_condition(policy, ("Accepted", "True")).await?;
    let dead = stage.world.log_in_unregistered_an_hour_ago(ALICE).await?;
    let call = stage.world.call(LOCAL).at(&stage.envoy.url()).login(&dead);
    assert_eq!(call.send().await?.status, 401);

    // A younger one changes nothing.
    stage.client.apply(&other(&stage)).await?;
    stage
        .client
        .wait_for(theirs, RECONCILED_WITHIN, is_conflicted)
        .await?;
    assert_eq!(call.send().await?.status, 401);
    assert_eq!(stage.world.rejected_expired(), 0);

    let status = remake(&stage, ours, theirs).await?;
    let conflicted = conditions(&status).find(|one| one["reason"] == "Conflicted");
    let message = conflicted
        .and_then(|one| one["message"].as_str())
        .unwrap_or_default();
    // Envoy Gateway does not say which; the doctor does.
    assert!(
        message.contains("another EnvoyExtensionPolicy has already attached"),
        "{message}"
    );

    let run = doctor(&stage).await?;
    assert!(!run.succeeded, "{}", run.printed);
    let found = run.check(&format!("EnvoyExtensionPolicy {}/{RELEASE}", stage.namespace))?;
    let with = format!("Conflicted with {}/headers", stage.namespace);
    assert!(found.finding.contains(&with), "{found:?}");
    assert!(found.finding.contains("requests pass unchecked"), "{found:?}");
    assert_eq!(run.check("envoy: filter")?.outcome, "fail", "{}", run.printed);
    let rejected = stage.world.rejected_expired();
    assert_eq!(call.send().await?.status, 401, "the server's own answer");
    assert_eq!(
        stage.world.rejected_expired(),
        rejected + 1,
        "the stale token reaches the server"
    );
    Ok(())
}
