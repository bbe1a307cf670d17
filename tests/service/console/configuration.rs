//! The section `console` of the configuration.

use serde_json::{Value, json};
use tokenward_control::config::{Config, ConfigError};
use tokenward_control::doctor::{CheckOutcome, examine};

use super::stage::{Stage, section};
use crate::deployment::Deployment;

/// The problems of the section with `member` changed.
fn problems(deployment: &Deployment, member: &str, value: Value) -> Vec<String> {
    let changed = deployment.changed(|document| document["console"][member] = value);
    match changed
        .as_ref()
        .map_err(|error| error.downcast_ref::<ConfigError>())
    {
        Err(Some(ConfigError::Invalid(problems))) => problems.iter().map(ToString::to_string).collect(),
        Err(_) => panic!("another error"),
        Ok(_) => Vec::new(),
    }
}

#[tokio::test]
async fn every_fault_has_a_place_and_a_hint() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let faults = [
        ("listen", json!("nowhere"), "write it as in"),
        (
            "public_url",
            json!("https://console.example.com/tokenward"),
            "has a path",
        ),
        ("public_url", json!("http://console.example.com"), "must be https"),
        ("groups", json!([]), "name the groups of the operators"),
        ("groups", json!([""]), "is empty"),
        ("groups_claim", json!(""), "leave it out"),
        ("scopes", json!(["profile"]), "lacks openid"),
        (
            "client_secret",
            json!({"file": "/nowhere/at/all"}),
            "cannot be read",
        ),
        ("session_lifetime", json!("13h"), "make it shorter"),
        ("trusted_proxies", json!(17), "the number of proxies"),
        ("client_auth", json!("none"), "write basic"),
        ("password", json!("x"), "password"),
    ];
    for (member, value, expected) in faults {
        let found = problems(&stage.deployment, member, value.clone());
        assert_eq!(found.len(), 1, "{member} {value}: {found:?}");
        assert!(
            found[0].starts_with("line ") && found[0].contains(expected),
            "{found:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_the_section_there_is_no_console() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let without = stage.deployment.changed(|document| {
        document
            .as_object_mut()
            .map(|document| document.remove("console"));
    })?;
    assert!(without.console.is_none());
    let with: Config = stage.deployment.changed(|_| {})?;
    let console = with.console.expect("a console");
    assert_eq!(console.session_lifetime.as_secs(), 3600);
    assert_eq!(console.callback(), "https://console.example.com/console/callback");
    assert_eq!(section("https://issuer.example.com")["groups"], json!(["sre"]));
    Ok(())
}

#[tokio::test]
async fn doctor_begins_a_login_and_names_a_redirect_uri_that_is_not_registered() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let found = async |config: Config| {
        let report = examine(&config).await;
        let check = report
            .checks
            .into_iter()
            .find(|check| check.name.starts_with("console "));
        check.expect("a check of the console")
    };
    let good = found(stage.deployment.changed(|_| {})?).await;
    assert_eq!(good.outcome, CheckOutcome::Ok, "{good:?}");
    let change =
        |document: &mut Value| document["console"]["public_url"] = json!("https://other.example.com");
    let unknown = found(stage.deployment.changed(change)?).await;
    assert_eq!(unknown.outcome, CheckOutcome::Fail, "{unknown:?}");
    assert!(
        unknown
            .finding
            .contains("https://other.example.com/console/callback"),
        "{unknown:?}"
    );
    Ok(())
}
