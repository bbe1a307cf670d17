//! The token endpoint against everything that is not a good question: a clear 4xx in OAuth's shape, and nothing changes.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexClient, DexConfig, DexUser};

use crate::deployment::{ADMIN, Answer, Deployment, FILTER, Plan, basic};

const OTHER: &str = "other@example.com";

async fn deployment() -> anyhow::Result<Deployment> {
    let dex = DexConfig::default()
        .id_token_lifetime(Duration::from_secs(300))
        .user(DexUser::new(OTHER))
        .client(DexClient::new("stranger", "x"));
    let settings = json!({"stale_subject_grace": "1h"});
    Deployment::start(Plan {
        dex,
        settings,
        ..Plan::default()
    })
    .await
}

/// OAuth's error shape, the marker, no cache, and no token in it.
fn assert_clear(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    assert!(!answer.text("error").is_empty(), "{what}: {answer:?}");
    assert!(!answer.text("error_description").is_empty(), "{what}: {answer:?}");
    assert!(!answer.text("refusal").is_empty(), "{what}: {answer:?}");
    assert_eq!(
        answer.header("x-tokenward-control"),
        Some(env!("CARGO_PKG_VERSION")),
        "{what}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
    assert!(!answer.body.to_string().contains("eyJ"), "{what}: {answer:?}");
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    deployment.log_in("s-1").await?;
    let before = deployment.status("s-1").await?.body;
    let good = deployment.dex.mint(ADMIN, "muster").expires_in_seconds(-10);
    let cases = [
        (
            "forged signature",
            good.clone().signed_by_a_stranger().token(),
            "subject_rejected",
        ),
        ("alg none", good.clone().unsigned().token(), "malformed_bearer"),
        (
            "HS256 with the public key",
            good.clone().hs256_with_public_key().token(),
            "algorithm_unsupported",
        ),
        (
            "other issuer",
            good.clone().claim("iss", "https://elsewhere.example.com").token(),
            "wrong_issuer",
        ),
        (
            "other audience",
            good.clone().claim("aud", "stranger").token(),
            "wrong_audience",
        ),
        (
            "no audience",
            good.clone().without("aud").token(),
            "malformed_bearer",
        ),
        ("no exp", good.clone().without("exp").token(), "malformed_bearer"),
        (
            "exp as text",
            good.clone().claim("exp", "1").token(),
            "malformed_bearer",
        ),
        (
            "expired past the grace",
            good.clone().expires_in_seconds(-3601).token(),
            "subject_rejected",
        ),
        (
            "unknown user",
            good.clone().claim("sub", "nobody").token(),
            "token_expired",
        ),
        (
            "critical header",
            good.clone().header("crit", json!(["x"])).token(),
            "subject_rejected",
        ),
        ("not a token", "abc".to_owned(), "malformed_bearer"),
        ("huge", "a".repeat(40_000), "malformed_bearer"),
    ];
    for (what, token, refusal) in cases {
        let answer = deployment.ask(&token).send().await?;
        assert_clear(&answer, what);
        assert_eq!(answer.refusal(), (400, refusal), "{what}");
    }
    let unknown_key = good.clone().unknown_key_id().token();
    deployment.advance(11);
    let answer = deployment.ask(&unknown_key).send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
    // Dex's key set may be cached for ten minutes, and a minute is added: then its key would be known.
    let issued_seconds = deployment.dex.clock().now_ms() / 1000 - 661;
    let unknown_key = good.clone().unknown_key_id().claim("iat", issued_seconds).token();
    let answer = deployment.ask(&unknown_key).send().await?;
    assert_clear(&answer, "unknown key");
    assert_eq!(answer.refusal(), (400, "subject_rejected"));
    // The good one of the same make is served.
    assert_eq!(deployment.ask(&good.token()).send().await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    assert_eq!(deployment.status("s-1").await?.body, before);
    Ok(())
}

#[tokio::test]
async fn a_session_is_only_opened_by_its_own_user() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let mine = deployment.log_in("s-1").await?;
    let theirs = deployment.log_in_as("s-2", OTHER).await?;
    let crossed = deployment.ask(&mine.id_token).session("s-2").send().await?;
    assert_clear(&crossed, "another user's session");
    assert_eq!(crossed.refusal(), (400, "subject_rejected"));
    let unknown = deployment.ask(&mine.id_token).session("s-3").send().await?;
    assert_clear(&unknown, "unknown session");
    assert_eq!(unknown.refusal(), (400, "unknown_session"));
    assert_eq!(
        deployment
            .ask(&theirs.id_token)
            .session("s-2")
            .send()
            .await?
            .token(),
        theirs.id_token
    );
    assert_eq!(
        deployment
            .ask(&mine.id_token)
            .session("s-1")
            .send()
            .await?
            .token(),
        mine.id_token
    );
    Ok(())
}

#[tokio::test]
async fn only_the_filters_credential_is_served() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    let form = deployment.ask(&tokens.id_token).form();
    let wrong = [
        basic("filter", "wrong"),
        basic("aggregator", FILTER),
        basic("filter", crate::deployment::AGGREGATOR),
        "Basic !!!".to_owned(),
        "Basic".to_owned(),
        "Bearer wrong".to_owned(),
        "Bearer ".to_owned(),
        format!("Digest {FILTER}"),
    ];
    for caller in wrong {
        let answer = deployment.post_form(0, &caller, &form).await?;
        assert_clear(&answer, &caller);
        assert_eq!(answer.refusal(), (401, "caller_rejected"), "{caller}");
        assert_eq!(answer.text("error"), "invalid_client");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Basic realm=\"tokenward\"")
        );
    }
    for caller in [
        basic("filter", FILTER),
        format!("Bearer {FILTER}"),
        format!("bearer {FILTER}"),
    ] {
        assert_eq!(deployment.post_form(0, &caller, &form).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_form_that_is_not_a_question_is_refused() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    let form = deployment.ask(&tokens.id_token).form();
    let cases = [
        ("empty", String::new()),
        ("duplicate parameter", format!("{form}&audience=other")),
        ("duplicate subject", format!("{form}&subject_token=x")),
        (
            "other requested type",
            form.replace("requested_token_type=urn", "requested_token_type=x"),
        ),
        ("unknown reason", form.replace("reason=stale", "reason=because")),
        ("long session", format!("{form}&session={}", "s".repeat(513))),
        ("no subject", form.replace("subject_token=", "x=")),
        ("not UTF-8", format!("{form}&session=%ff")),
    ];
    for (what, form) in cases {
        let answer = deployment.post_form(0, &basic("filter", FILTER), &form).await?;
        assert_clear(&answer, what);
        assert_eq!(answer.refusal(), (400, "bad_request"), "{what}");
    }
    let unknown = deployment.ask(&tokens.id_token).server("nowhere").send().await?;
    assert_clear(&unknown, "unknown server");
    assert_eq!(
        (unknown.refusal(), unknown.text("error")),
        ((400, "unknown_server"), "invalid_target")
    );
    Ok(())
}

#[tokio::test]
async fn bodies_of_another_type_or_size_and_unknown_paths_are_refused() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let url = |path: &str| format!("{}{path}", deployment.urls[0]);
    let token = |content_type: &str, body: String| {
        deployment
            .http
            .post(url("/oauth2/token"))
            .header("authorization", basic("filter", FILTER))
            .header("content-type", content_type)
            .body(body)
    };
    let form = "application/x-www-form-urlencoded";
    let http = &deployment.http;
    let cases = [
        (415, token("application/json", "{}".to_owned())),
        (415, token("", String::new())),
        (413, token(form, "x".repeat(96 * 1024 + 1))),
        (400, token(&format!("{form}; charset=utf-8"), "x=y".to_owned())),
        (405, http.get(url("/oauth2/token"))),
        (405, http.post(url("/livez"))),
        (404, http.get(url("/"))),
        (404, http.get(url("/oauth2/token/more"))),
    ];
    for (status, request) in cases {
        let answer = deployment.request(request).await?;
        assert_clear(&answer, &format!("{status}"));
        assert_eq!(answer.status, status);
    }
    Ok(())
}

/// #847: keys were cached for an hour, and after a rotation every user was refused.
#[tokio::test]
async fn a_key_that_was_rotated_away_still_proves_a_subject_also_after_a_restart() -> anyhow::Result<()> {
    let mut deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.rotate_keys();
    deployment.dex.forget_previous_keys();
    // The refresh brings a token by the new key, and with it the new set.
    let renewed = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(renewed.status, 200);
    let restarted = deployment.add_replica().await?;
    let answer = deployment.ask(&tokens.id_token).replica(restarted).send().await?;
    assert_eq!(answer.token(), renewed.token());
    // An old key proves which user's login it is; it opens no login.
    deployment.advance(3600);
    let late = deployment.ask(&tokens.id_token).replica(restarted).send().await?;
    assert_eq!(late.refusal(), (400, "subject_rejected"));
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_proven_proves_nothing_about_one_with_another_signature() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let tokens = deployment.log_in("s-1").await?;
    for _ in 0..2 {
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    }
    let stranger = deployment
        .dex
        .mint(ADMIN, "muster")
        .signed_by_a_stranger()
        .token();
    let signed = tokens.id_token.rsplit_once('.').map_or("", |(signed, _)| signed);
    let signature = stranger.rsplit_once('.').map_or("", |(_, signature)| signature);
    let answer = deployment.ask(&format!("{signed}.{signature}")).send().await?;
    assert_eq!(answer.refusal(), (400, "subject_rejected"));
    Ok(())
}

/// #848: an unknown key caused no new fetch.
#[tokio::test]
async fn keys_are_fetched_once_for_many_and_not_again_for_every_unknown_key() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    deployment.log_in("s-1").await?;
    assert_eq!(deployment.dex.counts().key_fetches, 1);
    deployment.advance(11);
    for _ in 0..10 {
        let token = deployment
            .dex
            .mint(ADMIN, "muster")
            .expires_in_seconds(-20)
            .unknown_key_id();
        let answer = deployment.ask(&token.token()).send().await?;
        assert!(
            matches!(
                answer.refusal(),
                (400, "subject_rejected") | (503, "issuer_unavailable")
            ),
            "{answer:?}"
        );
    }
    assert_eq!(deployment.dex.counts().key_fetches, 2);
    Ok(())
}

#[tokio::test]
async fn a_server_whose_audience_the_login_lacks_needs_a_new_login() -> anyhow::Result<()> {
    let server = json!({"name": "kube", "auth": {"forwardToken": true, "requiredAudiences": ["kube"]}});
    let deployment = Deployment::start(Plan {
        servers: vec![server],
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    let answer = deployment.ask(&tokens.id_token).server("kube").send().await?;
    assert_eq!(answer.refusal(), (400, "wrong_audience"));
    let scopes = "openid offline_access audience:server:client_id:kube audience:server:client_id:muster";
    let wider = deployment.dex.log_in_with_scopes(ADMIN, "muster", scopes).await?;
    deployment.put_login("s-1", &wider).await?;
    assert_eq!(
        deployment
            .ask(&wider.id_token)
            .server("kube")
            .send()
            .await?
            .status,
        200
    );
    Ok(())
}
