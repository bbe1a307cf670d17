//! An upstream issuer or a store that fails: the page says whose fault it is, and no session is left.

use serde_json::json;
use tokenward_harness::browser::ShownPage;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::*;

/// The page about a login at whose end the issuer answers with `failure`.
async fn page_after(stage: &Stage, failure: &Failure) -> anyhow::Result<ShownPage> {
    let tab = stage.tab()?;
    let back = tab.agree(&stage.query(&[]), ADMIN).await?;
    stage.deployment.dex.fail_next(Endpoint::Login, 1, failure);
    tab.open(&back).await
}

#[tokio::test]
async fn what_the_issuer_does_wrong_is_told_and_leaves_no_session() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({"login": {"client_id": "muster"}})).await?;
    let cases = [
        (Failure::DropRefreshToken, 502, "no_refresh_token"),
        (Failure::NoIdToken, 502, "upstream_invalid"),
        (Failure::OtherNonce, 502, "upstream_invalid"),
        (Failure::OtherAudience, 502, "upstream_invalid"),
        (Failure::OtherIssuer, 502, "upstream_invalid"),
        (Failure::internal_error(), 503, "issuer_unavailable"),
        (Failure::too_many_requests(7), 503, "issuer_unavailable"),
        (Failure::CloseAfterCommit, 503, "outcome_unknown"),
        (Failure::Garbage, 503, "outcome_unknown"),
        (
            Failure::answer(401, r#"{"error":"invalid_client"}"#),
            503,
            "misconfigured",
        ),
        (
            Failure::answer(400, r#"{"error":"unauthorized_client"}"#),
            503,
            "misconfigured",
        ),
        (
            Failure::answer(400, r#"{"error":"invalid_grant"}"#),
            400,
            "upstream_code_rejected",
        ),
        (
            Failure::answer(403, r#"{"error":"access_denied"}"#),
            403,
            "upstream_denied",
        ),
    ];
    for (failure, status, code) in cases {
        let page = page_after(&stage, &failure).await?;
        assert_problem(&page, status, code);
        assert_eq!(page.header("retry-after").is_some(), status == 503, "{code}");
        // The client waits: the link tells it.
        let link = page.link();
        assert!(link.starts_with(&format!("{REDIRECT}?")), "{link}");
        assert_eq!(parameter(&link, "state"), "state of the client");
        assert_eq!(parameter(&link, "iss"), ISSUER);
        assert_ne!(parameter(&link, "error"), "server_error");
        stage.deployment.advance(60);
    }
    assert_eq!(stage.sessions_created(), 0);
    assert_eq!(stage.stored("session").await?, 0);
    // And the next login works.
    let tab = stage.tab()?;
    let back = tab.agree(&stage.query(&[]), ADMIN).await?;
    assert_eq!(tab.open(&back).await?.status, 303);
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_issuer_is_told_in_its_own_words() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let cases = [
        ("access_denied", 403, "upstream_denied"),
        ("login_required", 403, "upstream_denied"),
        ("made<b>up", 403, "upstream_denied"),
        ("invalid_scope", 503, "misconfigured"),
        ("unauthorized_client", 503, "misconfigured"),
        ("temporarily_unavailable", 503, "issuer_unavailable"),
        ("server_error", 503, "issuer_unavailable"),
    ];
    for (error, status, code) in cases {
        let tab = stage.tab()?;
        let back = tab.agree(&stage.query(&[]), ADMIN).await?;
        let state = parameter(&format!("{ISSUER}{back}"), "state");
        let query = encoded(&[
            ("error", error),
            ("error_description", "not in <i>the</i> group"),
            ("state", &state),
        ]);
        let page = tab.open(&format!("/authorize/callback?{query}")).await?;
        assert_problem(&page, status, code);
        assert!(
            page.body.contains("not in &#60;i&#62;the&#60;/i&#62; group"),
            "{}",
            page.body
        );
        assert!(!page.body.contains("<b>"), "{}", page.body);
        assert_ne!(parameter(&page.link(), "error"), "server_error");
    }
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    assert_eq!(stage.sessions_created(), 0);
    Ok(())
}

#[tokio::test]
async fn without_the_store_nothing_is_used_up() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    stage.deployment.store().set_off(true);
    // The page itself needs no store.
    assert_eq!(tab.authorize(&stage.query(&[])).await?.status, 200);
    assert_problem(&tab.decide(&consent, "allow").await?, 503, "store_unavailable");
    stage.deployment.store().set_off(false);
    let onward = tab.decide(&consent, "allow").await?;
    let back = tab.log_in(&onward.onward(), ADMIN).await?;
    stage.deployment.store().set_off(true);
    assert_problem(&tab.open(&back).await?, 503, "store_unavailable");
    stage.deployment.store().set_off(false);
    assert_eq!(tab.open(&back).await?.status, 303);
    assert_eq!(stage.deployment.dex.counts().logins, 1);
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_is_away_is_told_before_the_user_goes_there() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    stage
        .deployment
        .dex
        .fail_always(Endpoint::Discovery, Failure::answer(503, "{}"));
    let consent = tab.authorize(&stage.query(&[])).await?;
    assert_problem(&tab.decide(&consent, "allow").await?, 503, "issuer_unavailable");
    assert_eq!(stage.stored("login_request").await?, 0);
    Ok(())
}
