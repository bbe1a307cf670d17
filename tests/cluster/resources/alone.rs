//! Control while the API server is away.

use std::time::Duration;

use tokenward_harness::parts::Control;
use tokenward_harness::parts::cluster::{ApiServer, install_crds};

use super::{Stage, learn, names};

#[tokio::test(flavor = "multi_thread")]
async fn the_list_holds_while_the_api_server_is_away_also_through_a_restart_and_goes_on_after_it()
-> anyhow::Result<()> {
    let mut server = ApiServer::start().await?;
    install_crds(&server.client()?).await?;
    let stage = Stage::new(&server, "away").await?;
    stage.forward("alpha", "/alpha").await?;
    stage
        .apply("far", &super::exchanging("/far", "credentials"))
        .await?;
    stage.put_secret("credentials", "the-secret-of-far").await?;
    let mut control = Control::start(stage.config()).await?;
    learn(&control, &["alpha", "far"]).await?;

    // Silent, connections open.
    server.pause()?;
    assert_eq!(names(&control).await?, ["alpha", "far"]);
    // And away.
    server.kill()?;
    assert_eq!(names(&control).await?, ["alpha", "far"]);
    control
        .log()
        .wait_for_line(
            |line| line.contains("its last list stays in force"),
            Duration::from_secs(60),
        )
        .await?;

    // A restart without it has the stored list, the credentials of the exchange included.
    control.kill()?;
    control.restart().await?;
    assert_eq!(names(&control).await?, ["alpha", "far"]);
    let starts = control
        .log()
        .count(|line| line.contains("starting with the servers that were stored last"));
    assert_eq!(starts, 1, "{}", control.log().tail(30));
    let store = std::fs::read(control.store_file())?;
    let secret = b"the-secret-of-far";
    assert!(
        !store.windows(secret.len()).any(|window| window == secret),
        "the stored list is sealed"
    );

    server.restart().await?;
    stage.forward("beta", "/beta").await?;
    learn(&control, &["alpha", "beta", "far"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_without_the_api_server_waits_for_it_and_serves_nothing_before() -> anyhow::Result<()> {
    let mut server = ApiServer::start().await?;
    install_crds(&server.client()?).await?;
    let stage = Stage::new(&server, "first").await?;
    stage.forward("alpha", "/alpha").await?;
    server.kill()?;
    let mut control = Control::launched(stage.config())?;
    let waits = |line: &str| line.contains("the start waits for it");
    control
        .log()
        .wait_for_line(waits, Duration::from_secs(30))
        .await?;
    assert!(names(&control).await.is_err(), "it must not listen yet");
    server.restart().await?;
    control.wait_until_ready(Duration::from_secs(60)).await?;
    assert_eq!(names(&control).await?, ["alpha"]);
    Ok(())
}
