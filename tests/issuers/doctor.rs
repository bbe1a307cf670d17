//! The doctor finds an exchange that cannot work at Keycloak before a user needs it.

use serde_json::{Value, json};
use tokenward_harness::parts::{DoctorRun, Found};

use super::exchange::{REQUESTER, SERVER, set};
use super::stage::Stage;

type Change = fn(&mut Value);

/// What the doctor states about the exchange of the server: `trial exchange`, or before that whether the client is accepted.
fn find(stage: &Stage, check: &str) -> anyhow::Result<Found> {
    let config = stage.deployment.replicas.controls[0].config_file();
    let arguments = ["--config".to_owned(), config.display().to_string()];
    DoctorRun::of(&arguments, "")?.check(&format!("{SERVER}: {check}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_an_exchange_that_keycloak_is_not_configured_for() -> anyhow::Result<()> {
    let mistakes: [(Change, &str, &str); 3] = [
        (
            |client| client["attributes"]["standard.token.exchange.enabled"] = json!("false"),
            "trial exchange",
            "may not exchange tokens",
        ),
        (
            |client| client["secret"] = json!("another-secret"),
            "exchange at",
            "the client is refused",
        ),
        (
            |client| client["enabled"] = json!(false),
            "exchange at",
            "the client is refused",
        ),
    ];
    for (mistake, check, finding) in mistakes {
        let Some(stage) = set("the doctor on an exchange", false).await? else {
            return Ok(());
        };
        let check = match check {
            "exchange at" => format!("exchange at {}", stage.realm.token_endpoint()),
            check => check.to_owned(),
        };
        let good = find(&stage, &check)?;
        assert_eq!(good.outcome, "ok", "{good:?}");
        stage.realm.change_client(REQUESTER.0, mistake).await?;
        let bad = find(&stage, &check)?;
        assert_eq!(bad.outcome, "fail", "{bad:?}");
        assert!(bad.finding.contains(finding), "{bad:?}");
        assert_eq!(stage.realm.counts().exchanges_succeeded, 0);
    }
    Ok(())
}

/// With a service account the client has a token of its own, by which the doctor sees what an exchange gives.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_missing_audience_where_the_client_has_a_service_account() -> anyhow::Result<()> {
    let Some(stage) = set("the doctor on an audience", false).await? else {
        return Ok(());
    };
    let with_service_account: Change = |client| client["serviceAccountsEnabled"] = json!(true);
    stage
        .realm
        .change_client(REQUESTER.0, with_service_account)
        .await?;
    let good = find(&stage, "trial exchange")?;
    assert_eq!(good.outcome, "ok", "{good:?}");
    assert!(good.finding.contains("has the required audiences"), "{good:?}");
    stage.realm.drop_mappers(REQUESTER.0).await?;
    let bad = find(&stage, "trial exchange")?;
    assert_eq!(bad.outcome, "fail", "{bad:?}");
    assert!(bad.finding.contains("lacks the required audience"), "{bad:?}");
    Ok(())
}
