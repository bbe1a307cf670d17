//! One digest for a pair: in the filter's log lines, in control's, in explanations and in the history.

use serde_json::{Value, json};
use tokenward_control::activity::PairOutcome;
use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::pair::{PairKey, SessionSource, TokenSubject};

use super::PATIENCE;
use crate::deployment::{ADMIN, AGGREGATOR, Deployment, Plan};
use crate::secrecy::Captured;

async fn explained(deployment: &Deployment, query: &str, header: (&str, &str)) -> anyhow::Result<Value> {
    let url = format!("{}/v1/explain{query}", deployment.urls[0]);
    let request = deployment.http.get(url).bearer_auth(AGGREGATOR);
    let answer = deployment.request(request.header(header.0, header.1)).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    Ok(answer.body)
}

#[tokio::test]
async fn a_pair_has_the_filters_digest_in_control_and_leads_to_its_session_and_user() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::WARN);
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("a-handle").await?;
    let ask = deployment.ask(&tokens.id_token).session("a-handle");
    assert_eq!(ask.send().await?.status, 200);
    let digest = PairKey::new("kubernetes", SessionSource::Handle("a-handle")).short();

    let by_session = explained(
        &deployment,
        "?server=kubernetes",
        ("x-tokenward-session", "a-handle"),
    )
    .await?;
    assert_eq!(by_session["pair"]["digest"], json!(digest), "{by_session}");
    assert!(deployment.service(0).drain(PATIENCE).await);
    let by_pair = explained(&deployment, "", ("x-tokenward-pair", &digest)).await?;
    assert_eq!(by_pair["session"], by_session["session"]);
    assert_eq!(by_pair["session"]["logged_in"], json!("aggregator"));
    assert_eq!(
        (
            &by_pair["pair"]["user"]["email"],
            &by_pair["pair"]["last_outcome"]
        ),
        (&json!(ADMIN), &json!("token"))
    );
    assert_eq!(by_pair["next"], json!("serve"));

    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::internal_error());
    assert_eq!(ask.send().await?.status, 503);
    assert!(deployment.service(0).drain(PATIENCE).await);
    assert!(
        captured.text().contains(&format!("pair=\"{digest}\"")),
        "{}",
        captured.text()
    );
    let refused = explained(&deployment, "?server=kubernetes", ("x-tokenward-pair", &digest)).await?;
    assert_eq!(
        refused["pair"]["last_outcome"],
        json!("issuer_unavailable"),
        "{refused}"
    );
    let history = deployment.service(0).service();
    let pair = history.history().pair(&digest).await?;
    let owner = pair.as_ref().map(|pair| pair.owner()).unwrap_or_default();
    assert_eq!(history.history().pairs_of(&owner).await?.len(), 1);
    assert!(
        matches!(pair.map(|pair| pair.outcome), Some(PairOutcome::Refused { refusal, .. }) if refusal == "issuer_unavailable")
    );
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_session_has_the_pair_of_its_tokens_subject() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("a-handle").await?;
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert!(deployment.service(0).drain(PATIENCE).await);
    let claims = Claims::read(tokens.id_token.as_bytes())?;
    let subject = TokenSubject::new(&claims);
    let digest = PairKey::new("kubernetes", SessionSource::Subject(&subject)).short();
    let by_pair = explained(&deployment, "", ("x-tokenward-pair", &digest)).await?;
    assert_eq!(
        by_pair["pair"]["user"]["subject"],
        json!(claims.subject),
        "{by_pair}"
    );
    let by_user = explained(
        &deployment,
        "?server=kubernetes",
        ("x-tokenward-subject", &claims.subject),
    )
    .await?;
    assert_eq!(by_user["pair"]["digest"], json!(digest), "{by_user}");
    Ok(())
}

#[tokio::test]
async fn a_busy_pair_is_written_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("a-handle").await?;
    let ask = deployment.ask(&tokens.id_token).session("a-handle");
    assert_eq!(ask.send().await?.status, 200);
    assert!(deployment.service(0).drain(PATIENCE).await);
    // From here on a write of the pair would fail, and be counted.
    deployment.store().set_broken(Some("add_member"));
    for _ in 0..50 {
        assert_eq!(ask.send().await?.status, 200);
    }
    assert!(deployment.service(0).drain(PATIENCE).await);
    let metrics = deployment.service(0).service().metrics().exposition();
    assert!(
        metrics.contains(r#"tokenward_events_dropped_total{log="activity"} 0"#),
        "{metrics}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_recorded_pair_is_refused_with_the_reason() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    for (digest, why) in [
        ("0F86F317", "eight lower-case"),
        ("0f86", "eight lower-case"),
        ("0f86f317", "no pair with this digest"),
    ] {
        let url = format!("{}/v1/explain", deployment.urls[0]);
        let request = deployment.http.get(url).bearer_auth(AGGREGATOR);
        let answer = deployment
            .request(request.header("x-tokenward-pair", digest))
            .await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{answer:?}");
        assert!(answer.text("error_description").contains(why), "{answer:?}");
    }
    Ok(())
}
