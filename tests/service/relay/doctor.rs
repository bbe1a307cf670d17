//! The doctor checks the relay: the route, the discovery document, the issuer's own address, logins past the relay.

use serde_json::json;
use tokenward_control::config::{Config, StoreEngine};
use tokenward_control::doctor::{Check, CheckOutcome, Report, examine};
use tokenward_harness::issuer::DexConfig;

use super::raw::Forward;
use super::relayed;
use crate::deployment::{ADMIN, Deployment, FILTER, Plan};

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    let mut checks = report.checks.iter();
    checks
        .find(|check| check.name.ends_with(name))
        .unwrap_or_else(|| panic!("no check {name:?}:\n{report}"))
}

/// A deployment whose public endpoint is at a [`Forward`], which leads nowhere yet.
async fn published(at: &Forward) -> anyhow::Result<Deployment> {
    let public = at.url("/dex/token");
    let config = DexConfig::default().discovery("token_endpoint", json!(public));
    let plan = Plan {
        dex: config.id_token_lifetime(std::time::Duration::from_secs(300)),
        relay: Some(json!({"public_endpoint": public})),
        ..Plan::default()
    };
    Deployment::start(plan).await
}

fn elsewhere(deployment: &Deployment) -> anyhow::Result<Config> {
    deployment.changed(|document| document["store"] = json!({"embedded": {"path": "@other.redb"}}))
}

#[tokio::test]
async fn a_route_that_leads_to_control_is_good_and_one_that_does_not_is_a_warning() -> anyhow::Result<()> {
    let gateway = Forward::start().await?;
    let deployment = published(&gateway).await?;
    let config = elsewhere(&deployment)?;
    gateway.to(&deployment.urls[0])?;
    let report = examine(&config).await;
    for name in [": relay", ": relay in discovery", ": token endpoint"] {
        assert_eq!(check(&report, name).outcome, CheckOutcome::Ok, "{report}");
    }
    assert!(check(&report, ": relay").finding.contains("control answers at"));
    assert_eq!(deployment.dex.counts().refreshes_succeeded, 0);
    assert!(!format!("{report}").contains("s3cret") && !format!("{report}").contains(FILTER));

    gateway.to(deployment.dex.issuer())?;
    let report = examine(&config).await;
    let route = check(&report, ": relay");
    assert_eq!(route.outcome, CheckOutcome::Warn, "{report}");
    assert!(
        route.finding.contains("refresh past the relay") && route.hint.contains("exactly this host and path")
    );

    drop(gateway);
    let report = examine(&config).await;
    let route = check(&report, ": relay");
    assert_eq!(route.outcome, CheckOutcome::Warn, "{report}");
    assert!(route.finding.contains("refuses the connection"), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_public_endpoint_that_discovery_does_not_name_is_a_warning() -> anyhow::Result<()> {
    let deployment = Deployment::start(relayed()).await?;
    let report = examine(&elsewhere(&deployment)?).await;
    let published = check(&report, ": relay in discovery");
    assert_eq!(published.outcome, CheckOutcome::Warn, "{report}");
    assert!(published.finding.contains("/dex/token") && published.hint.contains("public_endpoint"));
    Ok(())
}

#[tokio::test]
async fn a_token_endpoint_at_which_control_answers_fails() -> anyhow::Result<()> {
    let (gateway, own) = (Forward::start().await?, Forward::start().await?);
    let deployment = published(&gateway).await?;
    gateway.to(&deployment.urls[0])?;
    own.to(&deployment.urls[0])?;
    let config = deployment.changed(|document| {
        document["store"] = json!({"embedded": {"path": "@other.redb"}});
        document["issuers"][0]["token_endpoint"] = json!(own.url("/dex/token"));
    })?;
    let report = examine(&config).await;
    let endpoint = check(&report, ": token endpoint");
    assert_eq!(endpoint.outcome, CheckOutcome::Fail, "{report}");
    assert!(endpoint.finding.contains("control itself") && endpoint.hint.contains("the issuer itself"));
    Ok(())
}

#[tokio::test]
async fn logins_that_were_rotated_past_the_relay_are_counted() -> anyhow::Result<()> {
    let deployment = Deployment::start(relayed()).await?;
    let past = async |name: &str| {
        let mut config = elsewhere(&deployment)?;
        let running = deployment.changed(|_| {})?;
        let (StoreEngine::Embedded { path }, StoreEngine::Embedded { path: copy }) =
            (&running.store.engine, &mut config.store.engine)
        else {
            anyhow::bail!("the store is not embedded");
        };
        *copy = path.with_extension(name);
        std::fs::copy(path, &*copy)?;
        let report = examine(&config).await;
        anyhow::Ok(check(&report, ": logins past the relay").clone())
    };
    assert_eq!(past("before").await?.outcome, CheckOutcome::Ok);
    let login = deployment.relayed_login(0, ADMIN).send().await?;
    // A client with a fixed in-cluster address refreshes at Dex itself, where a used token is dead.
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &login.text("refresh_token")),
    ];
    let direct = deployment
        .http
        .post(deployment.dex.token_endpoint())
        .basic_auth("muster", Some("s3cret"))
        .form(&form)
        .send()
        .await?;
    let direct: serde_json::Value = direct.json().await?;
    deployment.advance(301);
    let stale = deployment.ask(&login.text("id_token")).send().await?;
    assert_eq!(stale.refusal(), (400, "needs_login"));
    let newer = direct["refresh_token"].as_str().unwrap_or_default();
    let refreshed = deployment.relayed_refresh(0, newer).send().await?;
    assert_eq!(refreshed.status, 200, "{}", refreshed.json());

    let noticed = past("after").await?;
    assert_eq!(noticed.outcome, CheckOutcome::Warn);
    assert!(
        noticed.finding.starts_with("1 logins") && noticed.hint.contains("in-cluster address"),
        "{noticed:?}"
    );
    Ok(())
}
