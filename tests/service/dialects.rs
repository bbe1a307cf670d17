//! The kind of an issuer that neither the configuration nor its address shows: its discovery document does, at the start, at a
//! reload, and as soon as it can be read; and a process that starts while it cannot be read knows it from the store.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{Endpoint, Failure};

use crate::deployment::{Deployment, Plan, Processes};

const PATIENCE: Duration = Duration::from_secs(60);
const FOUND: &str = "the discovery document shows the kind of the issuer";
const UNKNOWN: &str = "its kind is not known";

/// One process in front of an issuer whose discovery document has these members, too.
async fn started(members: &[(&'static str, Value)]) -> anyhow::Result<Deployment<Processes>> {
    let mut plan = Plan::of_one_process();
    for (name, value) in members {
        plan.dex = plan.dex.discovery(name, value.clone());
    }
    plan.environment = vec![("RUST_LOG".to_owned(), "info".to_owned())];
    Deployment::start_processes(plan).await
}

fn is_found(line: &str, dialect: &str) -> bool {
    line.contains(FOUND) && line.contains(&format!("\"dialect\":\"{dialect}\""))
}

#[tokio::test]
async fn the_discovery_document_shows_what_an_issuer_is() -> anyhow::Result<()> {
    let none = json!(null);
    let rows = [
        ("dex", vec![]),
        ("standard", vec![("device_authorization_endpoint", none.clone())]),
        (
            "entra",
            vec![
                ("device_authorization_endpoint", none),
                ("cloud_instance_name", json!("x")),
                ("msgraph_host", json!("x")),
            ],
        ),
    ];
    for (dialect, members) in rows {
        let deployment = started(&members).await?;
        let log = deployment.replicas.controls[0].log();
        log.wait_for_line(|line| is_found(line, dialect), PATIENCE)
            .await?;
        assert_eq!(log.count(|line| line.contains(FOUND)), 1, "{dialect}");
        assert_eq!(log.count(|line| line.contains(UNKNOWN)), 0, "{dialect}");
    }
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_known_from_before_and_a_new_one_as_soon_as_it_answers()
-> anyhow::Result<()> {
    let mut deployment = started(&[("device_authorization_endpoint", json!(null))]).await?;
    let unreadable = Failure::answer(503, "{}");
    deployment
        .dex
        .fail_always(Endpoint::Discovery, unreadable.clone());
    let control = &mut deployment.replicas.controls[0];
    control.kill()?;
    control.restart().await?;
    let log = control.log();
    log.wait_for_line(|line| is_found(line, "standard"), PATIENCE)
        .await?;
    assert_eq!(log.count(|line| line.contains(UNKNOWN)), 0, "the store has it");

    control.kill()?;
    std::fs::remove_file(control.store_file())?;
    control.restart().await?;
    let log = control.log();
    log.wait_for_line(|line| line.contains(UNKNOWN), PATIENCE).await?;
    assert_eq!(log.count(|line| line.contains(FOUND)), 0, "nothing has it");
    deployment.dex.heal(Endpoint::Discovery);
    log.wait_for_line(|line| is_found(line, "standard"), PATIENCE)
        .await?;
    Ok(())
}
