//! What resources learn: Events, and a condition where its kind has room for one.

use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, Named};
use tokenward_harness::parts::{Control, ControlStore, Valkey};

use super::{Stage, forwarding, learn, until};

fn condition(resource: &Value) -> Option<Value> {
    let conditions = resource["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == "TokenwardAccepted")
        .cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_resource_gets_one_event_with_the_cure_and_its_correction_one_more() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "events").await?;
    let mut bad = forwarding("/bad");
    bad["auth"]["requiredAudiences"] = json!(["not an audience"]);
    stage.apply("bad", &bad).await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &[]).await?;
    let events = until(|| stage.events("bad"), |events| !events.is_empty()).await?;
    let [(reason, note)] = events.as_slice() else {
        anyhow::bail!("{events:?}");
    };
    assert_eq!(reason, "Invalid");
    assert!(
        note.contains("spec.auth.requiredAudiences[0]") && note.contains("write a text without spaces"),
        "{note}"
    );
    // muster's list of conditions is its own: nothing is written there.
    let present = stage.client.get(stage.named("bad")).await?;
    assert_eq!(present.as_ref().and_then(condition), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_stands_beside_those_of_the_owner_and_follows_the_resource() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "conditions").await?;
    let proxy = |audience: &str| {
        json!({
            "apiVersion": "toolhive.stacklok.dev/v1beta1", "kind": "MCPRemoteProxy",
            "metadata": {"name": "github", "namespace": stage.namespace},
            "spec": {"remoteUrl": "https://api.example.com/mcp", "oidcConfigRef": {
                "name": "dex", "audience": audience, "resourceUrl": "https://mcp.example.com/github",
            }},
        })
    };
    let named = Named {
        api: "toolhive.stacklok.dev/v1beta1",
        kind: "MCPRemoteProxy",
        namespace: &stage.namespace,
        name: "github",
    };
    stage.client.apply(&proxy("not an audience")).await?;
    let theirs = json!({"conditions": [{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]});
    stage.client.set_status(named, &theirs).await?;
    let control = Control::start(stage.config()).await?;
    let is = |status: &'static str| {
        move |proxy: &Value| condition(proxy).is_some_and(|ours| ours["status"] == status)
    };
    let found = stage.client.wait_for(named, super::SOON, is("False")).await?;
    assert_eq!(
        condition(&found).map(|ours| ours["reason"].clone()),
        Some(json!("Invalid"))
    );
    assert_eq!(
        found["status"]["conditions"].as_array().map(Vec::len),
        Some(2),
        "{found:#}"
    );
    stage.client.apply(&proxy("github-mcp")).await?;
    learn(&control, &["github"]).await?;
    // A resource is written to at most once a minute.
    let found = stage.client.wait_for(named, super::SOON * 3, is("True")).await?;
    let ours = condition(&found).unwrap_or_default();
    assert_eq!(ours["observedGeneration"], found["metadata"]["generation"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_that_a_reload_judges_again_reach_events_and_metrics() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "reloaded").await?;
    stage.forward("near", "/near").await?;
    stage
        .apply("far", &super::exchanging("/far", "credentials"))
        .await?;
    stage.put_secret("credentials", "the-secret-of-far").await?;
    let mut config = stage.config();
    let mut control = Control::start(config.clone()).await?;
    learn(&control, &["far", "near"]).await?;
    let states = async |control: &Control| {
        let metrics = control.metrics().await?;
        let count = |state| {
            let labels = [("group", "muster.giantswarm.io"), ("state", state)];
            metrics.count("tokenward_kubernetes_resources", &labels)
        };
        anyhow::Ok((count("accepted"), count("rejected")))
    };
    assert_eq!(states(&control).await?, (2, 0));
    assert_eq!(stage.events("far").await?, []);

    // No resource changes: only what resources may name.
    for (name, value) in &mut config.settings {
        if name == "kubernetes" {
            value["exchange_hosts"] = json!([]);
        }
    }
    control.rewrite(config)?;
    control.hang_up()?;
    until(|| states(&control), |states| *states == (1, 1)).await?;
    let events = until(|| stage.events("far"), |events| !events.is_empty()).await?;
    let reasons: Vec<&str> = events.iter().map(|(reason, _)| reason.as_str()).collect();
    assert_eq!(reasons, ["EndpointNotAllowed"], "{events:?}");
    assert_eq!(stage.events("near").await?, []);
    let judged_again = control.log().count(|line| line.contains("judged again"));
    assert_eq!(judged_again, 1, "{}", control.log().tail(30));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_replicas_one_writes_and_the_other_takes_over_when_it_is_killed() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "leaders").await?;
    let valkey = Valkey::start().await?;
    let mut config = stage.config();
    config.store = ControlStore::Valkey {
        url: valkey.url(),
        password: None,
    };
    let bad = |path: &str| {
        let mut spec = forwarding(path);
        spec["auth"]["requiredAudiences"] = json!(["not an audience"]);
        spec
    };
    stage.apply("first", &bad("/first")).await?;
    let mut replicas = Vec::new();
    for _ in 0..2 {
        replicas.push(Control::start(config.clone()).await?);
    }
    until(|| stage.events("first"), |events| events.len() == 1).await?;
    let lease = Named {
        api: "coordination.k8s.io/v1",
        kind: "Lease",
        namespace: super::RELEASE_NAMESPACE,
        name: &stage.lease,
    };
    let holder = async || {
        let lease = stage.client.get(lease).await?.unwrap_or_default();
        anyhow::Ok(
            lease["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let first = holder().await?;
    // The one that was started first holds it.
    replicas.remove(0).kill()?;
    stage.apply("second", &bad("/second")).await?;
    until(|| stage.events("second"), |events| events.len() == 1).await?;
    assert_ne!(holder().await?, first);
    // The new leader finds the old Event by its name.
    assert_eq!(stage.events("first").await?.len(), 1);
    Ok(())
}
