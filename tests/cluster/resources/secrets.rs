//! The Secrets of exchanges.

use tokenward_harness::parts::Control;
use tokenward_harness::parts::cluster::{ApiServer, Named};

use super::{Stage, exchanging, learn, lists_in_force, names, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_later_and_rotates_applies_and_one_that_is_deleted_changes_nothing()
-> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "secrets").await?;
    stage.apply("far", &exchanging("/far", "credentials")).await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &[]).await?;
    until(
        || stage.events("far"),
        |events| events.iter().any(|(reason, _)| reason == "SecretMissing"),
    )
    .await?;
    stage.put_secret("credentials", "first").await?;
    learn(&control, &["far"]).await?;
    let lists = lists_in_force(&control);
    stage.put_secret("credentials", "second").await?;
    until(async || Ok(lists_in_force(&control)), |now| *now == lists + 1).await?;
    let secret = Named {
        api: "v1",
        kind: "Secret",
        namespace: &stage.namespace,
        name: "credentials",
    };
    stage.client.delete(secret).await?;
    until(async || Ok(lists_in_force(&control)), |now| *now == lists + 2).await?;
    assert_eq!(names(&control).await?, ["far"]);
    for secret in ["first", "second"] {
        assert_eq!(control.log().count(|line| line.contains(secret)), 0);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_the_role_does_not_name_is_said_to_be_unreadable_and_delays_no_other_server()
-> anyhow::Result<()> {
    let stage = Stage::new(ApiServer::shared().await?, "denied").await?;
    stage.put_secret("not-ours", "hidden").await?;
    stage.apply("far", &exchanging("/far", "not-ours")).await?;
    stage.forward("near", "/near").await?;
    let control = Control::start(stage.config()).await?;
    learn(&control, &["near"]).await?;
    let is_denied = |events: &Vec<(String, String)>| {
        events
            .iter()
            .any(|(reason, note)| reason == "SecretNotReadable" && note.contains("not-ours"))
    };
    until(|| stage.events("far"), is_denied).await?;
    Ok(())
}
