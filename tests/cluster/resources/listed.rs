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
async fn the_metrics_of_a_server_end_with_it_and_those_of_the_others_count_on() -> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "counted").await?;
    stage.put_secret("credentials", "the-secret-of-far").await?;
    stage.forward("near", "/near").await?;
    for name in ["far", "farther"] {
        let path = format!("/{name}");
        stage
            .apply(name, &super::exchanging(&path, "credentials"))
            .await?;
    }
    let control = Control::start(stage.config()).await?;
    learn(&control, &["far", "farther", "near"]).await?;
    // Samples of a server; those of the issuer that both exchanges name.
    let samples = async |needle: &str| {
        let url = format!("{}/metrics", control.url());
        let http = reqwest::Client::builder().no_proxy().build()?;
        let text = http.get(url).send().await?.text().await?;
        anyhow::Ok(text.lines().filter(|line| line.contains(needle)).count())
    };
    let (far, issuer) = ("server=\"far\"", "issuer=\"https://dex.remote.example.com\"");
    let (of_far, of_issuer) = (samples(far).await?, samples(issuer).await?);
    assert!(of_far > 0 && of_issuer > 0, "{of_far}, {of_issuer}");
    let near = samples("server=\"near\"").await?;

    stage.client.delete(stage.named("far")).await?;
    until(|| samples(far), |count| *count == 0).await?;
    assert_eq!(samples(issuer).await?, of_issuer, "the other exchange names it");
    stage.client.delete(stage.named("farther")).await?;
    until(|| samples(issuer), |count| *count == 0).await?;
    assert_eq!(samples("server=\"near\"").await?, near);
    stage
        .apply("far", &super::exchanging("/far", "credentials"))
        .await?;
    until(|| samples(far), |count| *count == of_far).await?;
    assert_eq!(samples(issuer).await?, of_issuer);
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
async fn a_resource_version_that_is_too_old_is_answered_410_and_the_list_is_read_again() -> anyhow::Result<()>
{
    let mut server = ApiServer::start().await?;
    tokenward_harness::parts::cluster::install_crds(&server.client()?).await?;
    let stage = Stage::new(&server, "compacted").await?;
    stage.forward("alpha", "/alpha").await?;
    let mut control = Control::start(stage.config()).await?;
    learn(&control, &["alpha"]).await?;
    // Its connections end before anything changes, so that no event of what follows waits for it in a socket.
    control.process()?.pause()?;
    server.kill()?;
    server.restart().await?;
    stage.client.delete(stage.named("alpha")).await?;
    stage.forward("beta", "/beta").await?;
    // Neither etcd nor the cache of the next API server has these changes as events.
    server.compact().await?;
    server.kill()?;
    server.restart().await?;
    control.process()?.resume()?;
    learn(&control, &["beta"]).await?;
    let read_again = |line: &str| {
        line.contains("its resource version is too old") && line.contains("muster.giantswarm.io")
    };
    assert_eq!(control.log().count(read_again), 1, "{}", control.log().tail(30));
    Ok(())
}
