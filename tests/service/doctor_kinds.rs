//! The doctor compares what an issuer is taken for with what its discovery document shows.

use serde_json::{Value, json};
use tokenward_control::doctor::{CheckOutcome, Report, examine};

use crate::deployment::{Deployment, Plan};

/// The report on an issuer with these members in its document, and these fields in the configuration.
async fn report(members: &[(&'static str, Value)], fields: Value) -> anyhow::Result<Report> {
    let mut plan = Plan::default();
    for (name, value) in members {
        plan.dex = plan.dex.discovery(name, value.clone());
    }
    let deployment = Deployment::start(plan).await?;
    let config = deployment.changed(|document| {
        document["store"] = json!({"embedded": {"path": "@other.redb"}});
        for (name, value) in fields.as_object().into_iter().flatten() {
            document["issuers"][0][name] = value.clone();
        }
    })?;
    Ok(examine(&config).await)
}

fn of<'a>(report: &'a Report, name: &str) -> Option<(CheckOutcome, &'a str, &'a str)> {
    let check = report.checks.iter().find(|check| check.name.ends_with(name))?;
    Some((check.outcome, check.finding.as_str(), check.hint.as_str()))
}

#[tokio::test]
async fn an_issuer_that_is_taken_for_another_product_is_a_failure_with_the_right_word() -> anyhow::Result<()>
{
    let report = report(&[], json!({"dialect": "keycloak"})).await?;
    let (outcome, finding, hint) = of(&report, ": kind").expect("a check");
    assert_eq!(outcome, CheckOutcome::Fail);
    assert!(finding.contains("counts as keycloak (configured)"), "{finding}");
    assert_eq!(hint, "set issuers[].dialect: dex");
    Ok(())
}

#[tokio::test]
async fn what_the_document_shows_is_what_control_will_take_it_for() -> anyhow::Result<()> {
    let fields = json!({"policy": null});
    let report = report(&[("device_authorization_endpoint", json!(null))], fields).await?;
    let (outcome, finding, _) = of(&report, ": kind").expect("a check");
    assert_eq!(outcome, CheckOutcome::Ok);
    assert!(
        finding.starts_with(
            "dialect standard (by its discovery document), policy strict, refresh_tokens per_login"
        ),
        "{finding}"
    );
    Ok(())
}

#[tokio::test]
async fn what_the_treatment_needs_and_the_issuer_lacks_is_named() -> anyhow::Result<()> {
    let report = report(
        &[("introspection_endpoint", json!(null))],
        json!({"policy": "strict", "sign_out": "end_session"}),
    )
    .await?;
    let (outcome, finding, _) = of(&report, ": introspection").expect("a check");
    assert_eq!(outcome, CheckOutcome::Warn);
    assert!(
        finding.contains("a lost answer to a refresh ends the login"),
        "{finding}"
    );
    let (outcome, _, hint) = of(&report, ": sign-out").expect("a check");
    assert_eq!(
        (outcome, hint),
        (CheckOutcome::Fail, "set sign_out: revoke, or none")
    );
    Ok(())
}
