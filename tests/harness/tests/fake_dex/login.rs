use std::time::Duration;

use tokenward_harness::issuer::{DexConfig, FakeDex};

use super::peer::{
    ALL_SCOPES, Answer, EMAIL, KUBE, MUSTER, claims, config, dex, header, http, login, members, payload,
    refresh, token, user,
};

fn password<'a>(password: &'a str, scope: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", "password"),
        ("username", EMAIL),
        ("password", password),
        ("scope", scope),
    ]
}

#[tokio::test]
async fn a_login_gives_access_refresh_and_id_token() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &password("password", ALL_SCOPES)).await;
    answer.assert_tokens();
    assert_eq!(
        answer.members(),
        [
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "id_token"
        ]
    );
    assert_eq!(answer.json()["token_type"], "bearer");
    assert_eq!(dex.counts().logins, 1);
    assert_eq!(dex.counts_of(EMAIL).logins, 1);
}

#[tokio::test]
async fn expires_in_is_one_second_short_of_the_lifetime() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &password("password", ALL_SCOPES)).await;
    assert_eq!(answer.json()["expires_in"], 9);
    let claims = claims(&answer.text("id_token"));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        10
    );
}

#[tokio::test]
async fn an_id_token_has_dexs_claims_in_dexs_order() {
    let dex = dex().await;
    let id_token = login(&dex).await.id_token;
    assert_eq!(
        members(&payload(&id_token)),
        [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "at_hash",
            "email",
            "email_verified",
            "groups",
            "name"
        ]
    );
    let claims = claims(&id_token);
    assert_eq!(claims["iss"], dex.issuer());
    assert_eq!(
        claims["sub"],
        "CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs"
    );
    assert_eq!(claims["aud"], "muster");
    assert_eq!(claims["at_hash"].as_str().unwrap().len(), 22);
    assert_eq!(claims["email"], EMAIL);
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["groups"], serde_json::json!(["team-a"]));
    assert_eq!(claims["name"], "admin");
}

#[tokio::test]
async fn the_jose_header_has_only_algorithm_and_key_id() {
    let dex = dex().await;
    let header = header(&login(&dex).await.id_token);
    assert_eq!(members(&header), ["alg", "kid"]);
    let header: serde_json::Value = serde_json::from_str(&header).unwrap();
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"].as_str().unwrap().len(), 40);
}

#[tokio::test]
async fn an_access_token_is_an_id_token_with_another_at_hash() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let (mut access, mut id) = (claims(&tokens.access_token), claims(&tokens.id_token));
    let hashes = (access["at_hash"].take(), id["at_hash"].take());
    assert_ne!(hashes.0, hashes.1);
    assert_eq!(access, id);
}

#[tokio::test]
async fn a_refresh_token_is_two_strings_of_25_characters() {
    let dex = dex().await;
    let refresh_token = login(&dex).await.refresh_token;
    assert_eq!(refresh_token.len(), 72);
    assert!(refresh_token.starts_with("Chl"), "{refresh_token}");
}

#[tokio::test]
async fn without_offline_access_there_is_no_refresh_token() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &password("password", "openid profile email groups")).await;
    answer.assert_tokens();
    assert_eq!(
        answer.members(),
        ["access_token", "token_type", "expires_in", "id_token"]
    );
}

#[tokio::test]
async fn a_wrong_password_is_401_access_denied() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &password("wrong", ALL_SCOPES)).await;
    answer.assert_error(
        401,
        r#"{"error":"access_denied","error_description":"Invalid username or password"}"#,
    );
    assert_eq!(dex.counts().logins, 0);
}

#[tokio::test]
async fn a_login_without_openid_is_400() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &password("password", "email")).await;
    answer.assert_error(
        400,
        r#"{"error":"invalid_request","error_description":"Missing required scope(s) [\"openid\"]."}"#,
    );
}

#[tokio::test]
async fn a_trusting_peer_becomes_an_audience_and_the_client_the_authorised_party() {
    let dex = dex().await;
    let scope = "openid offline_access audience:server:client_id:kube";
    let tokens = dex.log_in_with_scopes(EMAIL, MUSTER.0, scope).await.unwrap();
    let claims = claims(&tokens.id_token);
    assert_eq!(claims["aud"], serde_json::json!(["kube", "muster"]));
    assert_eq!(claims["azp"], "muster");
}

#[tokio::test]
async fn a_second_login_kills_the_first_refresh_token() {
    let dex = dex().await;
    let (first, second) = (login(&dex).await, login(&dex).await);
    refresh(&dex, &first.refresh_token)
        .await
        .assert_error(400, super::peer::CLAIMED);
    refresh(&dex, &second.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn a_login_through_another_client_leaves_the_refresh_token_alive() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.log_in(EMAIL, KUBE.0).await.unwrap();
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn credentials_with_special_characters_pass_when_they_are_form_encoded() {
    let secret = "a+b/c%d=";
    let client = tokenward_harness::issuer::DexClient::new("odd", secret);
    let dex = FakeDex::start(config().client(client)).await.unwrap();
    token(&dex, ("odd", secret), &password("password", ALL_SCOPES))
        .await
        .assert_tokens();
    let unencoded = http()
        .post(dex.token_endpoint())
        .basic_auth("odd", Some(secret))
        .form(&password("password", ALL_SCOPES));
    Answer::of(unencoded).await.unwrap().assert_error(
        400,
        r#"{"error":"invalid_request","error_description":"client_secret improperly encoded"}"#,
    );
}

#[tokio::test]
async fn a_lone_plus_in_an_unencoded_secret_is_a_wrong_secret() {
    let client = tokenward_harness::issuer::DexClient::new("odd", "a+b");
    let dex = FakeDex::start(config().client(client)).await.unwrap();
    let unencoded = http()
        .post(dex.token_endpoint())
        .basic_auth("odd", Some("a+b"))
        .form(&password("password", ALL_SCOPES));
    Answer::of(unencoded).await.unwrap().assert_error(
        401,
        r#"{"error":"invalid_client","error_description":"Invalid client credentials."}"#,
    );
}

#[tokio::test]
async fn with_many_groups_a_token_is_as_long_as_in_production() {
    let config = DexConfig {
        users: vec![user().with_many_groups()],
        ..config()
    };
    let dex = FakeDex::start(config.id_token_lifetime(Duration::from_secs(1800)))
        .await
        .unwrap();
    let length = login(&dex).await.id_token.len();
    assert!((1000..=1250).contains(&length), "{length} bytes");
}
