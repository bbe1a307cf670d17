//! The doctor finds what is wrong and names the fix, shows no secret, and touches no grant.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::clock::SystemClock;
use tokenward_control::config::Config;
use tokenward_control::doctor::{Check, CheckOutcome, Report, examine};
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::{Expected, Store as _};
use tokenward_control::upstream::issuer::keys::record_of;
use tokenward_harness::issuer::{DexConfig, DexConnector, Issuer as _};
use tokenward_harness::parts::{RealDex, tools};

use crate::deployment::{ADMIN, AGGREGATOR, Deployment, FILTER, Plan};
use crate::exchange::{Pair, pair};

fn elsewhere(document: &mut Value) {
    document["store"] = json!({"embedded": {"path": "@other.redb"}});
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report
        .checks
        .iter()
        .find(|check| check.name.contains(name))
        .unwrap_or_else(|| panic!("no check {name:?}:\n{report}"))
}

fn failed(report: &Report) -> Vec<&str> {
    report
        .checks
        .iter()
        .filter(|check| check.outcome == CheckOutcome::Fail)
        .map(|check| check.name.as_str())
        .collect()
}

#[tokio::test]
async fn a_good_deployment_is_good_and_stays_as_it_is() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.log_in("s-1").await?;
    let status = home.status("s-1").await?.body;
    let config = home.changed(elsewhere)?;
    let report = examine(&config).await;
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report}");
    for name in [
        "config",
        "credential of the filter",
        "store",
        "discovery",
        "token endpoint",
        "exchange at",
    ] {
        assert_eq!(check(&report, name).outcome, CheckOutcome::Ok, "{report}");
    }
    assert!(check(&report, "(muster): keys").finding.starts_with("1 usable"));
    assert_eq!(check(&report, "(muster): clock").outcome, CheckOutcome::Ok);
    // The key of these tests repeats itself, and `kubernetes` requires no audience.
    assert_eq!(check(&report, "sealing key").outcome, CheckOutcome::Warn);
    assert_eq!(check(&report, "server kubernetes").outcome, CheckOutcome::Warn);
    assert_eq!(report.outcome, CheckOutcome::Warn);

    let text = format!("{report}{}", serde_json::to_string(&report)?);
    for secret in [FILTER, AGGREGATOR, "s3cret", "ex+change/secret%=", "q83vEjRW"] {
        assert!(!text.contains(secret), "{secret}:\n{text}");
    }
    assert_eq!(home.status("s-1").await?.body, status);
    assert_eq!(home.dex.counts_of(ADMIN).refreshes_presented, 0);
    assert_eq!(home.dex.counts().refreshes_succeeded, 0);
    assert_eq!(remote.counts().exchanges_succeeded, 0);
    Ok(())
}

#[tokio::test]
async fn a_refused_client_and_an_issuer_that_is_away_fail_with_their_fix() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.write_file("issuer-0", "wrong-secret")?;
    home.write_file("exchanger", "also-wrong")?;
    let report = examine(&home.changed(elsewhere)?).await;
    let refused = check(&report, "token endpoint");
    assert_eq!(refused.outcome, CheckOutcome::Fail, "{report}");
    assert!(refused.finding.contains("refused (status 401") && refused.hint.contains("client_secret"));
    let exchange = check(&report, "exchange at");
    assert!(
        exchange.outcome == CheckOutcome::Fail && exchange.hint.contains("clientCredentials"),
        "{report}"
    );
    assert_eq!(failed(&report).len(), 2, "{report}");

    remote.set_down(true);
    let report = examine(&home.changed(elsewhere)?).await;
    assert_eq!(check(&report, "server remote: keys").outcome, CheckOutcome::Fail);
    assert_eq!(check(&report, "exchange at").outcome, CheckOutcome::Fail);
    let wrong_issuer = home.changed(|document| {
        elsewhere(document);
        let issuer = format!("{}/", home.dex.issuer());
        document["issuers"][0]["issuer"] = json!(issuer);
    })?;
    let report = examine(&wrong_issuer).await;
    let discovery = check(&report, "discovery");
    assert!(
        discovery.outcome == CheckOutcome::Fail && discovery.finding.contains("another issuer"),
        "{report}"
    );
    Ok(())
}

/// A store file in which the issuer's keys were sealed with another key.
async fn sealed_with_another_key(config: &Config) -> anyhow::Result<()> {
    let tokenward_control::config::StoreEngine::Embedded { path } = &config.store.engine else {
        anyhow::bail!("the store is not embedded");
    };
    let store = EmbeddedStore::open(path, Duration::from_secs(2), Arc::new(SystemClock)).await?;
    let key = record_of(&config.issuers[0].issuer);
    store.write(&key, Expected::Any, b"not ours", None).await?;
    store.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_store_in_use_is_a_warning_and_one_that_is_away_or_sealed_otherwise_a_failure() -> anyhow::Result<()>
{
    let Pair { home, .. } = pair(1, |_| {}).await?;
    let in_use = examine(&home.changed(|_| {})?).await;
    let store = check(&in_use, "store");
    assert!(
        store.outcome == CheckOutcome::Warn && store.finding.contains("already open"),
        "{in_use}"
    );

    let away = home.changed(|document| {
        // Port 9 of the loopback: no process listens there.
        document["store"] = json!({"valkey": {"url": "redis://127.0.0.1:9"}, "deadline": "500ms"});
    })?;
    let away = examine(&away).await;
    assert_eq!(check(&away, "store").outcome, CheckOutcome::Fail, "{away}");

    let config = home.changed(elsewhere)?;
    sealed_with_another_key(&config).await?;
    let report = examine(&config).await;
    let sealed = check(&report, "sealed records");
    assert!(
        sealed.outcome == CheckOutcome::Fail && sealed.hint.contains("sealing.previous"),
        "{report}"
    );
    assert_eq!(check(&report, "store (embedded)").outcome, CheckOutcome::Ok);
    Ok(())
}

#[tokio::test]
async fn the_doctor_learns_from_a_real_dex_whether_its_clients_are_accepted() -> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: the doctor at a real Dex: {}", tools::DEX_IS_MISSING);
        return Ok(());
    }
    let Pair { home, .. } = pair(1, |_| {}).await?;
    let connector = DexConnector::oidc("home", home.dex.issuer());
    let dex = RealDex::start(DexConfig::default().connector(connector)).await?;
    home.write_file("exchanger", "k")?;
    let with_connector = |id: &str| {
        home.changed(|document| {
            elsewhere(document);
            document["issuers"][0]["issuer"] = json!(dex.issuer());
            let exchange = &mut document["servers"][1]["auth"]["tokenExchange"];
            exchange["dexTokenEndpoint"] = json!(dex.token_endpoint());
            exchange["clientCredentials"]["clientId"] = json!("kube");
            exchange["connectorId"] = json!(id);
        })
    };
    let config = || with_connector("home");
    let report = examine(&config()?).await;
    assert_eq!(failed(&report), Vec::<&str>::new(), "{report}");
    let mistaken = examine(&with_connector("hoem")?).await;
    let trial = check(&mistaken, "trial exchange");
    assert_eq!(trial.outcome, CheckOutcome::Fail, "{mistaken}");
    assert!(trial.finding.contains("no such connector"), "{mistaken}");
    for name in ["token endpoint", "exchange at"] {
        assert!(
            check(&report, name).finding.contains("accepts the client"),
            "{report}"
        );
    }
    home.write_file("issuer-0", "wrong-secret")?;
    home.write_file("exchanger", "also-wrong")?;
    let report = examine(&config()?).await;
    assert_eq!(failed(&report).len(), 2, "{report}");
    assert_eq!(check(&report, "token endpoint").outcome, CheckOutcome::Fail);
    assert_eq!(check(&report, "exchange at").outcome, CheckOutcome::Fail);
    Ok(())
}

#[tokio::test]
async fn where_the_client_shows_its_secret_is_found_out_and_reported() -> anyhow::Result<()> {
    let dex = DexConfig {
        post_only: true,
        ..DexConfig::default().discovery(
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_post"]),
        )
    };
    let home = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    let report = examine(&home.changed(elsewhere)?).await;
    let found = check(&report, "token endpoint");
    assert_eq!(found.outcome, CheckOutcome::Ok, "{report}");
    assert!(found.finding.contains("client_secret_post"), "{report}");
    let wrong = home.changed(|document| {
        elsewhere(document);
        document["issuers"][0]["client_auth"] = json!("basic");
    })?;
    let report = examine(&wrong).await;
    let refused = check(&report, "token endpoint");
    assert_eq!(refused.outcome, CheckOutcome::Fail, "{report}");
    assert!(refused.finding.contains("client_secret_basic"), "{report}");
    assert!(refused.hint.contains("client_auth"), "{report}");
    Ok(())
}
