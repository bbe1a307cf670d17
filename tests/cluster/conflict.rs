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

/// The older of two policies is in force, so the filter stays until its own is replaced: an upgrade that renames the release,
/// for one. Then it comes second, and no request is checked any more.
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
    let policy = (ENVOY, "EnvoyExtensionPolicy", RELEASE);
    stage.wait_for_condition(policy, ("Accepted", "True")).await?;
    let dead = stage.world.log_in_unregistered_an_hour_ago(ALICE).await?;
    let call = stage.world.call(LOCAL).at(&stage.envoy.url()).login(&dead);
    assert_eq!(call.send().await?.status, 401);

    // A younger one changes nothing.
    let port = stage.world.server(LOCAL).address().port();
    let other = json!({
        "apiVersion": ENVOY, "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": "headers", "namespace": stage.namespace},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "mcp"}],
            // It does not answer as an external processor, and lets requests pass.
            "extProc": [{"backendRefs": [{"name": LOCAL, "port": port}], "failOpen": true}],
        },
    });
    stage.client.apply(&other).await?;
    let is_conflicted = |resource: &Value| conditions(resource).any(|one| one["reason"] == "Conflicted");
    let theirs = Named {
        name: "headers",
        ..ours
    };
    stage
        .client
        .wait_for(theirs, RECONCILED_WITHIN, is_conflicted)
        .await?;
    assert_eq!(call.send().await?.status, 401);

    // Ours is made again, and is the younger one now.
    let mut again = stage.client.get(ours).await?.unwrap_or_default();
    stage.client.delete(ours).await?;
    again["metadata"] = json!({"name": RELEASE, "namespace": stage.namespace});
    again["status"] = Value::Null;
    stage
        .client
        .wait_for(theirs, RECONCILED_WITHIN, |one| !is_conflicted(one))
        .await?;
    stage.client.apply(&again).await?;
    let status = stage
        .client
        .wait_for(ours, RECONCILED_WITHIN, is_conflicted)
        .await?;
    let conflicted = conditions(&status).find(|one| one["reason"] == "Conflicted");
    let message = conflicted
        .and_then(|one| one["message"].as_str())
        .unwrap_or_default();
    // Envoy Gateway does not say which; the doctor does.
    assert!(
        message.contains("another EnvoyExtensionPolicy has already attached"),
        "{message}"
    );

    let run = DoctorRun::of(
        &[
            "--config".to_owned(),
            stage.world.control.config_file().display().to_string(),
            "--gateway".to_owned(),
            format!("{}/{LOCAL}/mcp", stage.envoy.url()),
            "--envoy-admin".to_owned(),
            stage.envoy.admin_url(),
            "--resources".to_owned(),
            "-".to_owned(),
        ],
        &printed(&stage).await?,
    )?;
    assert!(!run.succeeded, "{}", run.printed);
    let found = run.check(&format!("EnvoyExtensionPolicy {}/{RELEASE}", stage.namespace))?;
    assert!(
        found
            .finding
            .contains(&format!("Conflicted with {}/headers", stage.namespace)),
        "{found:?}"
    );
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
