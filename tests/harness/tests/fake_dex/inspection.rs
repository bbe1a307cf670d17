use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::FakeDex;

use super::peer::{Answer, EMAIL, dex, http, login, refresh};

const SUBJECT: &str = "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs";
const NOT_A_BEARER: &str = r#"{"error":"access_denied","error_description":"Invalid bearer token."}"#;

async fn user_info(dex: &FakeDex, token: &str) -> Answer {
    let url = format!("{}/userinfo", dex.issuer());
    Answer::of(http().get(url).bearer_auth(token)).await.unwrap()
}

async fn introspect(dex: &FakeDex, token: &str) -> Answer {
    let url = format!("{}/introspect", dex.token_endpoint());
    Answer::of(http().post(url).form(&[("token", token)]))
        .await
        .unwrap()
}

#[tokio::test]
async fn userinfo_answers_the_claims_of_access_and_id_tokens() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    for token in [&tokens.access_token, &tokens.id_token] {
        let answer = user_info(&dex, token).await;
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.body, super::peer::payload(token));
    }
    assert_eq!(dex.counts().user_info_requests, 2);
}

#[tokio::test]
async fn userinfo_with_a_bad_token_is_403_without_a_challenge() {
    let dex = dex().await;
    user_info(&dex, "garbage").await.assert_error(403, NOT_A_BEARER);
    let stranger = super::peer::dex().await;
    let foreign = login(&stranger).await.id_token;
    user_info(&dex, &foreign).await.assert_error(403, NOT_A_BEARER);
}

#[tokio::test]
async fn userinfo_with_an_expired_token_is_403() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.clock().advance(Duration::from_secs(11));
    user_info(&dex, &tokens.id_token)
        .await
        .assert_error(403, NOT_A_BEARER);
}

#[tokio::test]
async fn userinfo_without_a_token_is_401_with_a_challenge() {
    let dex = dex().await;
    let answer = Answer::of(http().get(format!("{}/userinfo", dex.issuer())))
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (401, NOT_A_BEARER)
    );
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn introspection_of_an_access_token_needs_no_authentication() {
    let dex = dex().await;
    let answer = introspect(&dex, &login(&dex).await.access_token).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("cache-control"), None);
    let body = answer.json();
    assert_eq!(body["active"], true);
    assert_eq!(body["client_id"], "muster");
    assert_eq!(body["sub"], SUBJECT);
    assert_eq!(body["aud"], "muster");
    assert_eq!(body["iss"], dex.issuer());
    assert_eq!(
        (&body["token_type"], &body["token_use"]),
        (&json!("Bearer"), &json!("access_token"))
    );
    assert_eq!(body["ext"]["email"], EMAIL);
    assert_eq!(body["nbf"], body["iat"]);
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 10);
}

#[tokio::test]
async fn introspection_of_a_refresh_token_is_active_and_does_not_rotate() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let answer = introspect(&dex, &tokens.refresh_token).await;
    let body = answer.json();
    assert_eq!(
        (&body["active"], &body["token_use"]),
        (&json!(true), &json!("refresh_token"))
    );
    // No absolute lifetime: Dex reports as its expiry the moment at which it was issued.
    assert_eq!(body["exp"], body["iat"]);
    assert_eq!(
        (&body["client_id"], &body["sub"]),
        (&json!("muster"), &json!(SUBJECT))
    );
    let members: Vec<String> = ["active", "client_id", "sub", "exp", "iat", "nbf", "aud", "iss"]
        .into_iter()
        .chain(["token_type", "token_use", "ext"])
        .map(str::to_owned)
        .collect();
    assert_eq!(answer.members(), members);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn introspection_of_a_used_or_unknown_token_is_inactive() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let current = refresh(&dex, &tokens.refresh_token).await.text("refresh_token");
    for dead in [tokens.refresh_token.as_str(), "garbage"] {
        let answer = introspect(&dex, dead).await;
        answer.assert_tokens();
        assert_eq!(answer.body, "{\"active\":false}\n");
    }
    assert_eq!(introspect(&dex, &current).await.json()["active"], true);
    assert_eq!(dex.counts().introspections, 3);
}

#[tokio::test]
async fn discovery_names_the_issuer_and_its_endpoints_and_no_revocation() {
    let dex = dex().await;
    let url = format!("{}/.well-known/openid-configuration", dex.issuer());
    let document = Answer::of(http().get(url)).await.unwrap().json();
    assert_eq!(document["issuer"], dex.issuer());
    assert_eq!(document["token_endpoint"], dex.token_endpoint());
    assert_eq!(document["jwks_uri"], dex.jwks_uri());
    assert_eq!(
        document["introspection_endpoint"],
        format!("{}/token/introspect", dex.issuer())
    );
    assert_eq!(
        document["id_token_signing_alg_values_supported"],
        json!(["RS256"])
    );
    assert_eq!(document.get("revocation_endpoint"), None);
}

#[tokio::test]
async fn a_new_key_signs_at_once_and_the_old_one_stays_published() {
    let dex = dex().await;
    let kid = |token: &str| {
        let header: serde_json::Value = serde_json::from_str(&super::peer::header(token)).unwrap();
        header["kid"].clone()
    };
    let old = kid(&login(&dex).await.id_token);
    dex.rotate_keys();
    let new = kid(&login(&dex).await.id_token);
    assert_ne!(old, new);
    let answer = Answer::of(http().get(dex.jwks_uri())).await.unwrap();
    assert_eq!(
        answer.header("cache-control"),
        Some("max-age=600, must-revalidate")
    );
    let keys = answer.json();
    let published: Vec<_> = keys["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].clone())
        .collect();
    assert_eq!(published, [new, old]);
}
