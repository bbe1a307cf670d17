use super::peer::{ALL_SCOPES, Answer, CLAIMED, EMAIL, KUBE, MUSTER, dex, http, login, refresh, token};

const INVALID_CLIENT: &str =
    r#"{"error":"invalid_client","error_description":"Invalid client credentials."}"#;

#[tokio::test]
async fn a_garbage_refresh_token_is_400_like_a_used_one() {
    let dex = dex().await;
    refresh(&dex, "garbage").await.assert_error(400, CLAIMED);
    assert_eq!(dex.presentations()[0].user, None);
}

#[tokio::test]
async fn an_empty_refresh_token_is_400() {
    let dex = dex().await;
    let body = r#"{"error":"invalid_request","error_description":"No refresh token is found in request."}"#;
    refresh(&dex, "").await.assert_error(400, body);
}

#[tokio::test]
async fn a_refresh_token_of_another_client_is_400_invalid_grant() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh_token.as_str()),
    ];
    token(&dex, KUBE, &form)
        .await
        .assert_error(400, &CLAIMED.replace("invalid_request", "invalid_grant"));
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn a_revoked_refresh_token_is_400() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    assert!(dex.revoke(EMAIL, MUSTER.0));
    refresh(&dex, &tokens.refresh_token)
        .await
        .assert_error(400, CLAIMED);
}

#[tokio::test]
async fn a_wrong_secret_is_401_without_a_challenge() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh_token.as_str()),
    ];
    token(&dex, ("muster", "wrong"), &form)
        .await
        .assert_error(401, INVALID_CLIENT);
    token(&dex, ("nobody", "s3cret"), &form)
        .await
        .assert_error(401, INVALID_CLIENT);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn client_credentials_in_the_form_are_as_good_as_basic() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh_token.as_str()),
        ("client_id", MUSTER.0),
        ("client_secret", MUSTER.1),
    ];
    Answer::of(http().post(dex.token_endpoint()).form(&form))
        .await
        .unwrap()
        .assert_tokens();
}

#[tokio::test]
async fn a_wider_scope_is_400_and_costs_no_token() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let scope = format!("{ALL_SCOPES} audience:server:client_id:kube");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", tokens.refresh_token.as_str()),
        ("scope", &scope),
    ];
    let body = r#"{"error":"invalid_request","error_description":"Requested scopes contain unauthorized scope(s): [\"audience:server:client_id:kube\"]."}"#;
    token(&dex, MUSTER, &form).await.assert_error(400, body);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}

#[tokio::test]
async fn an_unknown_grant_is_400_without_a_description() {
    let dex = dex().await;
    let answer = token(&dex, MUSTER, &[("grant_type", "client_magic")]).await;
    answer.assert_error(400, r#"{"error":"unsupported_grant_type"}"#);
}

#[tokio::test]
async fn a_get_of_the_token_endpoint_is_400() {
    let dex = dex().await;
    let answer = Answer::of(http().get(dex.token_endpoint())).await.unwrap();
    answer.assert_error(
        400,
        r#"{"error":"invalid_request","error_description":"method not allowed"}"#,
    );
}

#[tokio::test]
async fn an_authorisation_code_that_was_never_issued_is_400_invalid_grant() {
    let dex = dex().await;
    let answer = token(
        &dex,
        MUSTER,
        &[("grant_type", "authorization_code"), ("code", "used")],
    )
    .await;
    answer.assert_error(
        400,
        r#"{"error":"invalid_grant","error_description":"Invalid or expired code parameter."}"#,
    );
}

#[tokio::test]
async fn there_is_no_revocation_endpoint() {
    let dex = dex().await;
    let url = format!("{}/revoke", dex.token_endpoint());
    let answer = Answer::of(http().post(url).form(&[("token", "x")]))
        .await
        .unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.body.trim_end()),
        (404, "404 page not found")
    );
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}
