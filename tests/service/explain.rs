//! `/v1/explain` states why, changes nothing, calls no issuer, and shows no token.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::parts::tools;

use crate::deployment::{ADMIN, AGGREGATOR, Answer, Deployment, FILTER, Plan};
use crate::exchange::{Pair, pair};

const PATIENCE: Duration = Duration::from_secs(20);

async fn asked(deployment: &Deployment, session: &str, server: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/explain?server={server}", deployment.urls[0]);
    let request = deployment.http.get(url).bearer_auth(AGGREGATOR);
    deployment
        .request(request.header("x-tokenward-session", session))
        .await
}

async fn explained(deployment: &Deployment, session: &str, server: &str) -> anyhow::Result<Value> {
    let answer = asked(deployment, session, server).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.body.to_string();
    assert!(!text.contains("eyJ") && !text.contains(session), "{text}");
    Ok(answer.body)
}

fn says(explanation: &Value, words: &str) -> bool {
    explanation["what_next"]
        .as_str()
        .is_some_and(|sentence| sentence.contains(words))
}

#[tokio::test]
async fn a_login_is_explained_through_its_life() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let session = "a-session-handle";
    let unknown = explained(&deployment, session, "kubernetes").await?;
    assert_eq!(
        (
            &unknown["session"]["known"],
            &unknown["grant"],
            &unknown["refusal"]
        ),
        (&json!(false), &Value::Null, &json!("unknown_session"))
    );
    assert!(says(&unknown, "PUT"), "{unknown}");

    let tokens = deployment.log_in(session).await?;
    let fresh = explained(&deployment, session, "kubernetes").await?;
    assert_eq!(fresh["next"], "serve");
    let walkthrough = std::fs::read_to_string(tools::workspace().join("docs/install.md"))?;
    assert!(
        walkthrough.contains(r#"`"next":"serve"`"#),
        "what its last step looks for"
    );
    assert_eq!(fresh["grant"]["state"], "active");
    assert_eq!(fresh["grant"]["generation"], 1);
    assert_eq!(fresh["grant"]["id_token"]["freshness"], "fresh");
    assert_eq!(fresh["grant"]["last_issuer_answer"], Value::Null);
    assert_eq!(fresh["exchange"], Value::Null);

    deployment.advance(200);
    let near = explained(&deployment, session, "kubernetes").await?;
    assert_eq!(near["grant"]["id_token"]["freshness"], "near_expiry");
    assert_eq!(near["next"], "serve");
    deployment.advance(101);
    let stale = explained(&deployment, session, "kubernetes").await?;
    assert_eq!(
        (&stale["next"], &stale["grant"]["id_token"]["freshness"]),
        (&json!("refresh"), &json!("stale"))
    );
    assert!(
        stale["grant"]["id_token"]["expires_in_seconds"]
            .as_i64()
            .is_some_and(|left| left < 0)
    );

    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token).session(session);
    let looking = async {
        tokio::time::timeout(PATIENCE, deployment.dex.wait_until_held(Endpoint::Refresh, 1)).await?;
        let under_way = explained(&deployment, session, "kubernetes").await;
        deployment.dex.release(Endpoint::Refresh);
        under_way
    };
    let (answer, under_way) = tokio::join!(ask.send(), looking);
    assert_eq!(answer?.status, 200);
    let under_way = under_way?;
    assert_eq!(under_way["grant"]["intent"]["generation"], 1, "{under_way}");
    assert!(says(&under_way, "A refresh began"), "{under_way}");
    let refreshed = explained(&deployment, session, "kubernetes").await?;
    assert_eq!(refreshed["grant"]["last_issuer_answer"], "refreshed");
    assert_eq!(refreshed["grant"]["intent"], Value::Null);
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn failures_and_deaths_are_explained_with_whose_turn_it_is() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 503);
    let failing = explained(&deployment, "s-1", "kubernetes").await?;
    assert_eq!(
        (&failing["next"], &failing["refusal"]),
        (&json!("refuse"), &json!("issuer_unavailable"))
    );
    assert_eq!(failing["grant"]["failures"]["kind"], "failing");
    assert_eq!(failing["grant"]["failures"]["count"], 1);
    assert_eq!(failing["grant"]["last_issuer_answer"], "failing");
    assert!(
        failing["retry_after_seconds"]
            .as_u64()
            .is_some_and(|wait| wait > 0)
    );
    assert!(says(&failing, "No action is needed"), "{failing}");

    deployment.advance(61);
    let again = explained(&deployment, "s-1", "kubernetes").await?;
    assert_eq!(again["next"], "refresh");
    assert!(says(&again, "after 1 failed attempts"), "{again}");

    assert!(deployment.dex.revoke(ADMIN, "muster"));
    let mut refusal = String::new();
    for _ in 0..3 {
        refusal = deployment
            .ask(&tokens.id_token)
            .send()
            .await?
            .text("refusal")
            .to_owned();
        deployment.advance(61);
    }
    assert_eq!(refusal, "needs_login");
    let presented = deployment.dex.counts().refreshes_presented;
    let dead = explained(&deployment, "s-1", "kubernetes").await?;
    assert_eq!(
        (&dead["grant"]["state"], &dead["grant"]["never_asked_again"]),
        (&json!("needs_login"), &json!(true))
    );
    assert_eq!(dead["grant"]["last_issuer_answer"], "dead");
    assert!(dead["grant"]["reason"].is_string());
    assert!(says(&dead, "The user must log in again"), "{dead}");
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    Ok(())
}

#[tokio::test]
async fn an_exchange_is_explained_with_its_token_and_its_failures() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let before = explained(&home, "s-1", "remote").await?;
    assert_eq!(
        (&before["next"], &before["exchange"]["token"]),
        (&json!("exchange"), &Value::Null)
    );
    assert_eq!(before["server"]["exchange_issuer"], remote.issuer());

    assert_eq!(
        home.ask(&tokens.id_token).server("remote").send().await?.status,
        200
    );
    let kept = explained(&home, "s-1", "remote").await?;
    assert_eq!(
        (&kept["next"], &kept["exchange"]["token"]["freshness"]),
        (&json!("serve"), &json!("fresh"))
    );
    assert!(kept["exchange"]["token"]["expires_at"].is_u64());
    assert!(says(&kept, "stored exchanged token"), "{kept}");

    home.advance(301);
    assert_eq!(
        explained(&home, "s-1", "remote").await?["next"],
        "refresh_and_exchange"
    );
    remote.fail_next(
        Endpoint::Exchange,
        1,
        &Failure::answer(401, r#"{"error":"invalid_client"}"#),
    );
    assert_eq!(
        home.ask(&tokens.id_token).server("remote").send().await?.status,
        500
    );
    let wrong = explained(&home, "s-1", "remote").await?;
    assert_eq!(
        (&wrong["refusal"], &wrong["exchange"]["failures"]["kind"]),
        (&json!("exchange_misconfigured"), &json!("misconfigured"))
    );
    assert!(says(&wrong, "An operator must act"), "{wrong}");
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn only_the_aggregator_may_call_and_the_handle_is_never_in_the_url() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let url = |query: &str| format!("{}/v1/explain{query}", deployment.urls[0]);
    let get = |query: &str| deployment.http.get(url(query));
    let as_aggregator = |query: &str| {
        get(query)
            .bearer_auth(AGGREGATOR)
            .header("x-tokenward-session", "s-1")
    };
    let cases = [
        (401, "caller_rejected", get("?server=kubernetes")),
        (
            401,
            "caller_rejected",
            get("?server=kubernetes")
                .bearer_auth(FILTER)
                .header("x-tokenward-session", "s-1"),
        ),
        (
            400,
            "bad_request",
            as_aggregator("?server=kubernetes&session=s-1"),
        ),
        (400, "bad_request", as_aggregator("")),
        (400, "bad_request", as_aggregator("?server=a&server=b")),
        (
            400,
            "bad_request",
            get("?server=kubernetes").bearer_auth(AGGREGATOR),
        ),
        (404, "unknown_server", as_aggregator("?server=nowhere")),
    ];
    for (status, refusal, request) in cases {
        let answer = deployment.request(request).await?;
        assert_eq!(answer.refusal(), (status, refusal), "{answer:?}");
        assert!(!answer.body.to_string().contains("s-1"));
    }
    let nowhere = asked(&deployment, "s-1", "nowhere").await?;
    assert!(nowhere.text("error_description").contains("kubernetes"));
    deployment.store().set_off(true);
    assert_eq!(
        asked(&deployment, "s-1", "kubernetes").await?.refusal(),
        (503, "store_unavailable")
    );
    Ok(())
}
