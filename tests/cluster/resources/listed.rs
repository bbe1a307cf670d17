//! A list that grows, shrinks, is edited under load, and is of several kinds.

use serde_json::json;
use tokenward_harness::parts::Control;
use tokenward_harness::parts::cluster::ApiServer;

use super::{Stage, forwarding, learn, lists_in_force, names, servers, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_is_applied_is_a_server_within_seconds_and_one_that_is_deleted_is_none()
-> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "listed").await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &[]).await?;
    stage.forward("alpha", "/alpha").await?;
    let took = learn(&control, &["alpha"]).await?;
    println!("a new server reached filters after {} ms", took.as_millis());
    stage.forward("beta", "/beta").await?;
    learn(&control, &["alpha", "beta"]).await?;
    stage.forward("alpha", "/other").await?;
    until(
        || servers(&control),
        |servers| servers.contains(&("alpha".to_owned(), "/other".to_owned())),
    )
    .await?;
    stage.client.delete(stage.named("alpha")).await?;
    learn(&control, &["beta"]).await?;
    // One line for each list: the first, four changes.
    assert_eq!(lists_in_force(&control), 5, "{}", control.log().tail(30));
    let metrics = control.metrics().await?;
    let labels = [("group", "muster.giantswarm.io"), ("state", "accepted")];
    assert_eq!(metrics.count("tokenward_kubernetes_resources", &labels), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_resource_among_good_ones_is_left_out_alone_and_a_bad_edit_keeps_the_server()
-> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "mixed").await?;
    stage.forward("good", "/good").await?;
    let mut bad = forwarding("/bad");
    bad["auth"]["requiredAudiences"] = json!(["not an audience"]);
    stage.apply("bad", &bad).await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &["good"]).await?;
    stage.forward("bad", "/bad").await?;
    learn(&control, &["bad", "good"]).await?;
    stage
        .apply(
            "good",
            &json!({"type": "streamable-http", "url": "https://10.0.0.1/x",
                                "auth": {"type": "oauth", "forwardToken": true}}),
        )
        .await?;
    let held = [("state", "held")];
    let held = async || {
        anyhow::Ok(
            control
                .metrics()
                .await?
                .count("tokenward_kubernetes_resources", &held),
        )
    };
    until(held, |count| *count == 1).await?;
    assert_eq!(names(&control).await?, ["bad", "good"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_edits_under_load_end_in_the_last_and_are_few_lists() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "edited").await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &[]).await?;
    let before = lists_in_force(&control);
    let begun = std::time::Instant::now();
    for edit in 0..200 {
        let name = ["one", "two", "three"][edit % 3];
        stage.forward(name, &format!("/{name}/{edit}")).await?;
    }
    let last = ("two".to_owned(), "/two/199".to_owned());
    until(|| servers(&control), |servers| servers.contains(&last)).await?;
    let lists = lists_in_force(&control) - before;
    // At most one a second, and one at the end.
    let most = usize::try_from(begun.elapsed().as_secs())? + 2;
    assert!((1..=most).contains(&lists), "{lists} lists, at most {most}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_toolhive_is_a_server_at_its_public_url() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "toolhive").await?;
    let control = Control::start(stage.config()).await?;
    let proxy = json!({
        "apiVersion": "toolhive.stacklok.dev/v1beta1", "kind": "MCPRemoteProxy",
        "metadata": {"name": "github", "namespace": stage.namespace},
        "spec": {"remoteUrl": "https://api.example.com/mcp", "oidcConfigRef": {
            "name": "dex", "audience": "github-mcp", "resourceUrl": "https://mcp.example.com/github",
        }},
    });
    stage.client.apply(&proxy).await?;
    learn(&control, &["github"]).await?;
    assert_eq!(servers(&control).await?[0].1, "/github");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_control_misses_while_the_api_server_restarts_and_etcd_is_compacted_arrives()
-> anyhow::Result<()> {
    let mut server = ApiServer::start().await?;
    tokenward_harness::parts::cluster::install_crds(&server.client()?).await?;
    let stage = Stage::new(&server, "compacted").await?;
    stage.forward("alpha", "/alpha").await?;
    let mut control = Control::start(stage.config()).await?;
    learn(&control, &["alpha"]).await?;
    // Control misses a deletion and an addition; a new API server has no events before its start, and etcd none either.
    control.process()?.pause()?;
    stage.client.delete(stage.named("alpha")).await?;
    stage.forward("beta", "/beta").await?;
    server.kill()?;
    server.restart().await?;
    server.compact().await?;
    for number in 0..20 {
        stage.put_secret("noise", &number.to_string()).await?;
    }
    control.process()?.resume()?;
    learn(&control, &["beta"]).await?;
    Ok(())
}
