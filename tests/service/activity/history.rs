//! The history in the store: of all replicas, in order, bounded, and beside the requests.

use serde_json::json;
use tokenward_control::activity::{Event, EventKind};
use tokenward_control::serve::reload::apply;

use super::PATIENCE;
use crate::deployment::{Deployment, Plan, email, with_users};

fn kinds(events: &[tokenward_control::activity::Recorded]) -> Vec<EventKind> {
    events.iter().map(|recorded| recorded.event.kind).collect()
}

async fn written(deployment: &Deployment, replica: usize) -> anyhow::Result<()> {
    anyhow::ensure!(
        deployment.service(replica).drain(PATIENCE).await,
        "not written in time"
    );
    Ok(())
}

#[tokio::test]
async fn each_replica_reads_what_all_have_recorded_page_by_page() -> anyhow::Result<()> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, 3),
        replicas: 2,
        valkey: true,
        ..Plan::default()
    };
    let deployment = Deployment::start(plan).await?;
    for user in 0..3 {
        deployment.log_in_as(&format!("s-{user}"), &email(user)).await?;
    }
    written(&deployment, 0).await?;
    let other = deployment.service(1).service();
    let oldest = other.history().after(None, 2).await?;
    assert_eq!(kinds(&oldest.events), [EventKind::Login; 2]);
    let rest = other.history().after(oldest.cursor.as_ref(), 10).await?;
    assert_eq!(kinds(&rest.events), [EventKind::Login]);
    // Nothing newer: the cursor stays, and what comes later follows it.
    let none = other.history().after(rest.cursor.as_ref(), 10).await?;
    assert_eq!((none.events.len(), &none.cursor), (0, &rest.cursor));
    deployment.end("s-1").await?;
    written(&deployment, 0).await?;
    let later = other.history().after(none.cursor.as_ref(), 10).await?;
    assert_eq!(kinds(&later.events), [EventKind::SignOut]);
    let newest = other.history().before(None, 2).await?;
    assert_eq!(kinds(&newest.events), [EventKind::SignOut, EventKind::Login]);
    let users: Vec<_> = other
        .history()
        .before(newest.cursor.as_ref(), 10)
        .await?
        .events
        .into_iter()
        .filter_map(|recorded| recorded.event.user?.email)
        .collect();
    assert_eq!(users, [email(1), email(0)]);
    Ok(())
}

#[tokio::test]
async fn events_whose_sealing_key_is_not_configured_are_left_out_and_counted() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    written(&deployment, 0).await?;
    let before = deployment.service(0).service().history().before(None, 10).await?;
    assert_eq!((before.events.len(), before.unreadable), (1, 0));
    let rekeyed = deployment.changed(|document| document["sealing"]["current"]["id"] = json!("k2"))?;
    apply(deployment.service(0), rekeyed)?;
    written(&deployment, 0).await?;
    let after = deployment.service(0).service().history().before(None, 10).await?;
    assert_eq!(kinds(&after.events), [EventKind::KeyDropped]);
    assert_eq!(after.unreadable, 1);
    Ok(())
}

#[tokio::test]
async fn made_up_tokens_do_not_displace_the_events_of_users() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    for number in 0..200 {
        let answer = deployment
            .ask(&format!("made-up-{number}"))
            .server(&format!("nowhere-{number}"))
            .send()
            .await?;
        assert_ne!(answer.status, 200);
    }
    deployment.advance(301);
    assert!(deployment.dex.revoke(crate::deployment::ADMIN, "muster"));
    let refused = deployment.ask(&tokens.id_token).session("s-1").send().await?;
    assert_ne!(refused.status, 200);
    written(&deployment, 0).await?;
    let page = deployment
        .service(0)
        .service()
        .history()
        .before(None, 1000)
        .await?;
    let is_made_up = |event: &Event| event.kind == EventKind::RefusalBegan && !event.is_user_verified;
    let events = page.events.iter().map(|recorded| &recorded.event);
    assert_eq!(events.clone().filter(|event| is_made_up(event)).count(), 60);
    let of_user = |event: &&Event| event.kind == EventKind::RefusalBegan && event.is_user_verified;
    assert_eq!(events.filter(of_user).count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_store_that_takes_no_events_affects_no_request_and_the_loss_is_counted() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.store().set_broken(Some("append"));
    let tokens = deployment.log_in("s-1").await?;
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    assert_eq!(ask.send().await?.status, 200);
    written(&deployment, 0).await?;
    let metrics = deployment.service(0).service().metrics().exposition();
    let lost = r#"tokenward_events_dropped_total{log="activity"} 1"#;
    assert!(metrics.contains(lost), "{metrics}");
    let ready = deployment
        .http
        .get(format!("{}/readyz", deployment.urls[0]))
        .send()
        .await?;
    assert_eq!(ready.status(), 200);
    deployment.store().set_broken(None);
    deployment.end("s-1").await?;
    written(&deployment, 0).await?;
    let page = deployment.service(0).service().history().before(None, 10).await?;
    assert_eq!(kinds(&page.events), [EventKind::SignOut]);
    Ok(())
}
