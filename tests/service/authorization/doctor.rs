//! The doctor goes the way of an MCP client, through a gateway, and states where it ends.

mod gateway;

use serde_json::{Value, json};
use tokenward_control::config::Config;
use tokenward_control::doctor::{Check, CheckOutcome, Report, examine};
use tokenward_harness::issuer::DexConfig;

use self::gateway::{Fault, Gateway};
use super::stage::plan;
use crate::deployment::Deployment;

/// A gateway, control behind it, and a Dex that knows the redirect URI.
struct Stage {
    gateway: Gateway,
    deployment: Deployment,
}

impl Stage {
    async fn start() -> anyhow::Result<Self> {
        Self::start_with(|dex, _| dex).await
    }

    /// [`Stage::start`], with a Dex that `change` makes of the right one and of the redirect URI.
    async fn start_with(change: impl FnOnce(DexConfig, &str) -> DexConfig) -> anyhow::Result<Self> {
        let gateway = Gateway::listen().await?;
        let issuer = gateway.url().to_owned();
        let callback = format!("{issuer}/authorize/callback");
        let mut plan = plan(&json!({
            "issuer": issuer,
            "clients": {"metadata_documents": {"hosts": "pinned"}},
        }))?;
        plan.servers = vec![json!({
            "name": "first", "resource": format!("{issuer}/kubernetes"), "auth": {"forwardToken": true},
        })];
        plan.dex.clients[0].redirect_uris = vec![callback.clone()];
        plan.dex = change(plan.dex, &callback);
        let deployment = Deployment::start(plan).await?;
        gateway.serve(&deployment.urls[0]);
        Ok(Self { gateway, deployment })
    }

    /// The configuration with another store: control has this one open.
    fn config(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<Config> {
        self.deployment.changed(|document| {
            document["store"] = json!({"embedded": {"path": "@other.redb"}});
            change(document);
        })
    }

    async fn report(&self) -> anyhow::Result<Report> {
        Ok(examine(&self.config(|_| {})?).await)
    }
}

/// The checks of the authorization server that are not OK.
fn findings(report: &Report) -> Vec<&Check> {
    let ours = |check: &&Check| {
        check.name.starts_with("authorization server") || check.name.starts_with("server first: ")
    };
    report
        .checks
        .iter()
        .filter(ours)
        .filter(|check| check.outcome != CheckOutcome::Ok)
        .collect()
}

/// The only finding, which has `outcome`, a name with `part`, a finding with `what` and a hint with `hint`.
fn only(report: &Report, outcome: CheckOutcome, part: &str, what: &str, hint: &str) {
    let findings = findings(report);
    let [check] = findings.as_slice() else {
        panic!("{part}: {} findings:\n{report}", findings.len());
    };
    assert_eq!(check.outcome, outcome, "{report}");
    assert!(check.name.contains(part), "{part}:\n{report}");
    assert!(check.finding.contains(what), "{what}:\n{report}");
    assert!(check.hint.contains(hint), "{hint}:\n{report}");
}

#[tokio::test]
async fn a_good_deployment_is_found_as_a_client_finds_it() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let report = stage.report().await?;
    assert!(findings(&report).is_empty(), "{report}");
    for part in [
        "signing keys",
        "server first: challenge",
        "server first: protected resource metadata",
        "metadata",
        "published keys",
        "endpoints",
        "refresh tokens of the issuer",
        "redirect URI at the issuer",
        "clients' metadata documents",
    ] {
        let found = report.checks.iter().filter(|check| check.name.ends_with(part));
        assert!(found.count() >= 1, "{part}:\n{report}");
    }
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    assert!(!report.to_string().contains("PRIVATE"));
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_leads_elsewhere_is_told_from_control() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage
        .gateway
        .break_it(Fault::NoRoute("/.well-known/oauth-authorization-server"));
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        ": metadata",
        "status 404, HTML, not of control",
        "route this host and path",
    );
    stage.gateway.break_it(Fault::NoRoute("/token"));
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        ": endpoints",
        "something else answers at /token (status 404, HTML",
        "route this host",
    );
    stage.gateway.break_it(Fault::NoRoute("/jwks"));
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        ": published keys",
        "not of control",
        "route this host",
    );
    stage.gateway.break_it(Fault::NoRoute("/kubernetes"));
    only(
        &stage.report().await?,
        CheckOutcome::Warn,
        "first: challenge",
        "answered 404",
        "put the filter on the route",
    );
    stage.gateway.break_it(Fault::OtherHost);
    let report = stage.report().await?;
    assert_eq!(findings(&report).len(), 4, "{report}");
    let all = findings(&report);
    assert!(
        all.iter().all(|check| check.outcome == CheckOutcome::Fail),
        "{report}"
    );
    assert!(
        all.iter()
            .filter(|check| check.hint.contains("keep the Host header"))
            .count()
            == 3,
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn a_control_with_other_keys_or_servers_is_found() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let other_key = examine(&stage.config(|document| {
        document["authorization"]["signing_keys"] = json!({"current": {"file": "@signing-2"}});
    })?)
    .await;
    only(
        &other_key,
        CheckOutcome::Fail,
        ": published keys",
        "is not among the 1 published ones",
        "SIGHUP",
    );
    let other_server = examine(&stage.config(|document| {
        let resource = format!("{}/other", stage.gateway.url());
        document["servers"][1]["resource"] = json!(resource);
    })?)
    .await;
    let found = findings(&other_server);
    assert!(
        found
            .iter()
            .any(|check| check.name.contains("protected resource metadata")
                && check.outcome == CheckOutcome::Fail),
        "{other_server}"
    );
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_does_not_know_the_redirect_uri_or_gives_no_refresh_tokens_is_found()
-> anyhow::Result<()> {
    let stage = Stage::start_with(|mut dex, _| {
        dex.clients[0].redirect_uris = vec!["https://other.example.com/authorize/callback".to_owned()];
        dex
    })
    .await?;
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        "redirect URI at the issuer",
        "does not know http://127.0.0.1",
        "byte for byte",
    );

    let stage = Stage::start_with(|dex, _| {
        dex.discovery(
            "scopes_supported",
            json!(["openid", "profile", "email", "groups"]),
        )
    })
    .await?;
    only(
        &stage.report().await?,
        CheckOutcome::Warn,
        "refresh tokens",
        "lacks offline_access",
        "offline_access",
    );
    let stage =
        Stage::start_with(|dex, _| dex.discovery("grant_types_supported", json!(["authorization_code"])))
            .await?;
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        "refresh tokens",
        "lacks refresh_token",
        "refresh token",
    );
    let stage = Stage::start_with(|dex, _| dex.discovery("authorization_endpoint", Value::Null)).await?;
    only(
        &stage.report().await?,
        CheckOutcome::Fail,
        "login",
        "no authorization_endpoint",
        "authorization_endpoint",
    );
    Ok(())
}

#[tokio::test]
async fn hosts_of_metadata_documents_that_cannot_be_reached_are_named() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let report = examine(&stage.config(|document| {
        // Port 9 of the loopback, on which no process listens.
        document["authorization"]["clients"]["metadata_documents"] =
            json!({"hosts": ["clients.example.com"], "egress_proxy": "http://127.0.0.1:9"});
    })?)
    .await;
    only(
        &report,
        CheckOutcome::Warn,
        "metadata documents",
        "clients.example.com (127.0.0.1:9 refuses the connection",
        "pin their documents",
    );
    Ok(())
}
