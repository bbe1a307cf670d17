use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConnector, FakeDex, IssuerClock};

use super::peer::{
    ALL_SCOPES, Answer, EMAIL, KUBE, MUSTER, claims, config, dex, http, login, members, payload, token,
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const DENIED: &str = r#"{"error":"access_denied"}"#;
const NO_CONNECTOR: &str =
    r#"{"error":"invalid_request","error_description":"Requested connector does not exist."}"#;
const BAD_SUBJECT_TYPE: &str =
    r#"{"error":"request_not_supported","error_description":"Invalid subject_token_type."}"#;
const BAD_REQUESTED_TYPE: &str =
    r#"{"error":"request_not_supported","error_description":"Invalid requested_token_type."}"#;

/// A home issuer and a remote one that accepts its tokens, 10 and 20 seconds long, in one time.
struct Two {
    home: FakeDex,
    remote: FakeDex,
    subject: String,
}

impl Two {
    async fn start() -> Self {
        let clock = IssuerClock::default();
        let home = FakeDex::start(config().clock(&clock)).await.unwrap();
        let with_user_info = DexConnector {
            get_user_info: true,
            ..DexConnector::oidc("home-userinfo", home.issuer())
        };
        let remote = config()
            .clock(&clock)
            .id_token_lifetime(Duration::from_secs(20))
            .connector(DexConnector::oidc("home", home.issuer()))
            .connector(with_user_info);
        let remote = FakeDex::start(remote).await.unwrap();
        let subject = login(&home).await.id_token;
        Self {
            home,
            remote,
            subject,
        }
    }

    /// An exchange as `kube`, with members replaced or, where the value is empty, left out.
    async fn exchange(&self, changes: &[(&str, &str)]) -> Answer {
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("connector_id", "home"),
            ("subject_token", self.subject.as_str()),
            ("subject_token_type", ID_TOKEN),
            ("scope", "openid profile email groups"),
        ];
        form.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        form.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
        token(&self.remote, KUBE, &form).await
    }
}

#[tokio::test]
async fn an_exchange_gives_an_access_token_and_nothing_else_by_default() {
    let two = Two::start().await;
    let answer = two.exchange(&[]).await;
    answer.assert_tokens();
    assert_eq!(
        answer.members(),
        ["access_token", "issued_token_type", "token_type", "expires_in"]
    );
    assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN);
    assert_eq!(answer.text("token_type"), "bearer");
    assert_eq!(answer.json()["expires_in"], 19);
    assert_eq!(two.remote.counts_of(EMAIL).exchanges_succeeded, 1);
    assert_eq!(two.home.counts().key_fetches, 1);
}

#[tokio::test]
async fn an_exchanged_token_is_the_remotes_with_the_home_subject_inside_its_own() {
    let two = Two::start().await;
    let token = two.exchange(&[]).await.text("access_token");
    assert_eq!(
        members(&payload(&token)),
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
    let claims = claims(&token);
    assert_eq!(claims["iss"], two.remote.issuer());
    assert_eq!(
        claims["sub"],
        "CjxDaVF3T0dFNE5qZzBZaTFrWWpnNExUUmlOek10T1RCaE9TMHpZMlF4TmpZeFpqVTBOallTQld4dlkyRnMSBGhvbWU"
    );
    assert_eq!(claims["aud"], "kube");
}

#[tokio::test]
async fn an_exchanged_id_token_has_no_at_hash() {
    let two = Two::start().await;
    let answer = two.exchange(&[("requested_token_type", ID_TOKEN)]).await;
    answer.assert_tokens();
    assert_eq!(answer.text("issued_token_type"), ID_TOKEN);
    assert_eq!(claims(&answer.text("access_token")).get("at_hash"), None);
}

#[tokio::test]
async fn dexs_access_token_passes_as_an_id_token() {
    let two = Two::start().await;
    let access_token = login(&two.home).await.access_token;
    two.exchange(&[("subject_token", &access_token)])
        .await
        .assert_tokens();
}

#[tokio::test]
async fn an_access_token_subject_needs_a_connector_that_calls_userinfo() {
    let two = Two::start().await;
    two.exchange(&[("subject_token_type", ACCESS_TOKEN)])
        .await
        .assert_error(401, DENIED);
    let with = [
        ("subject_token_type", ACCESS_TOKEN),
        ("connector_id", "home-userinfo"),
    ];
    two.exchange(&with).await.assert_tokens();
    two.exchange(&[("connector_id", "home-userinfo")])
        .await
        .assert_tokens();
    assert_eq!(two.home.counts().user_info_requests, 2);
}

#[tokio::test]
async fn other_token_types_are_400() {
    let two = Two::start().await;
    two.exchange(&[("subject_token_type", JWT)])
        .await
        .assert_error(400, BAD_SUBJECT_TYPE);
    two.exchange(&[("subject_token_type", "")])
        .await
        .assert_error(400, BAD_SUBJECT_TYPE);
    two.exchange(&[("requested_token_type", JWT)])
        .await
        .assert_error(400, BAD_REQUESTED_TYPE);
    let refresh_token = "urn:ietf:params:oauth:token-type:refresh_token";
    two.exchange(&[("requested_token_type", refresh_token)])
        .await
        .assert_error(400, BAD_REQUESTED_TYPE);
}

#[tokio::test]
async fn a_connector_that_is_absent_unknown_or_local_is_400() {
    let two = Two::start().await;
    for connector in ["", "nowhere", "local"] {
        two.exchange(&[("connector_id", connector)])
            .await
            .assert_error(400, NO_CONNECTOR);
    }
}

#[tokio::test]
async fn a_missing_subject_token_is_400() {
    let two = Two::start().await;
    let body = r#"{"error":"invalid_request","error_description":"Missing subject_token"}"#;
    two.exchange(&[("subject_token", "")])
        .await
        .assert_error(400, body);
}

#[tokio::test]
async fn a_garbage_subject_or_one_of_another_issuer_is_401_without_a_description() {
    let two = Two::start().await;
    two.exchange(&[("subject_token", "garbage")])
        .await
        .assert_error(401, DENIED);
    let stranger = dex().await;
    let foreign = login(&stranger).await.id_token;
    two.exchange(&[("subject_token", &foreign)])
        .await
        .assert_error(401, DENIED);
}

#[tokio::test]
async fn forged_subjects_are_401() {
    let two = Two::start().await;
    let draft = two.home.mint(EMAIL, "muster");
    two.exchange(&[("subject_token", &draft.token())])
        .await
        .assert_tokens();
    let forgeries = [
        draft.clone().unsigned(),
        draft.clone().hs256_with_public_key(),
        draft.clone().signed_by_a_stranger(),
        draft.clone().unknown_key_id(),
        draft.clone().header("alg", "RS512"),
        draft.clone().claim("iss", "http://other.example.com"),
        draft.without("exp"),
    ];
    for forgery in forgeries {
        two.exchange(&[("subject_token", &forgery.token())])
            .await
            .assert_error(401, DENIED);
    }
}

#[tokio::test]
async fn no_refresh_token_comes_even_when_offline_access_is_requested() {
    let two = Two::start().await;
    let answer = two.exchange(&[("scope", ALL_SCOPES)]).await;
    answer.assert_tokens();
    assert_eq!(
        answer.members(),
        ["access_token", "issued_token_type", "token_type", "expires_in"]
    );
}

#[tokio::test]
async fn an_audience_that_does_not_trust_the_client_is_500_server_error() {
    let two = Two::start().await;
    let scope = "openid audience:server:client_id:muster";
    two.exchange(&[("scope", scope)])
        .await
        .assert_error(500, r#"{"error":"server_error"}"#);
}

#[tokio::test]
async fn an_audience_that_trusts_the_client_is_added() {
    let two = Two::start().await;
    let form = [
        ("grant_type", EXCHANGE),
        ("connector_id", "home"),
        ("subject_token", two.subject.as_str()),
        ("subject_token_type", ID_TOKEN),
        ("scope", "openid audience:server:client_id:kube"),
    ];
    let answer = token(&two.remote, MUSTER, &form).await;
    answer.assert_tokens();
    let token = answer.text("access_token");
    assert_eq!(
        members(&payload(&token)),
        ["iss", "sub", "aud", "exp", "iat", "azp", "at_hash"]
    );
    assert_eq!(claims(&token)["aud"], json!(["kube", "muster"]));
    assert_eq!(claims(&token)["azp"], "muster");
}

#[tokio::test]
async fn audience_resource_and_actor_are_ignored() {
    let two = Two::start().await;
    let ignored = [
        ("audience", "other"),
        ("resource", "https://other.example.com"),
        ("actor_token", "x"),
    ];
    let answer = two.exchange(&ignored).await;
    answer.assert_tokens();
    assert_eq!(claims(&answer.text("access_token"))["aud"], "kube");
}

#[tokio::test]
async fn without_a_scope_a_token_names_only_subject_and_audience() {
    let two = Two::start().await;
    let token = two.exchange(&[("scope", "")]).await.text("access_token");
    assert_eq!(
        members(&payload(&token)),
        ["iss", "sub", "aud", "exp", "iat", "at_hash"]
    );
}

#[tokio::test]
async fn the_audience_of_the_subject_is_not_looked_at() {
    let two = Two::start().await;
    let for_another = two.home.log_in(EMAIL, KUBE.0).await.unwrap().id_token;
    two.exchange(&[("subject_token", &for_another)])
        .await
        .assert_tokens();
}

#[tokio::test]
async fn a_wrong_client_secret_is_401_invalid_client() {
    let two = Two::start().await;
    let form = [
        ("grant_type", EXCHANGE),
        ("connector_id", "home"),
        ("subject_token", two.subject.as_str()),
    ];
    let body = r#"{"error":"invalid_client","error_description":"Invalid client credentials."}"#;
    token(&two.remote, ("kube", "wrong"), &form)
        .await
        .assert_error(401, body);
}

#[tokio::test]
async fn a_subject_past_its_expiry_is_401_without_leeway() {
    let two = Two::start().await;
    let exp_ms = claims(&two.subject)["exp"].as_i64().unwrap() * 1000;
    let left_ms = exp_ms - two.home.clock().now_ms();
    two.home
        .clock()
        .advance(Duration::from_millis(u64::try_from(left_ms).unwrap() + 200));
    two.exchange(&[]).await.assert_error(401, DENIED);
    two.exchange(&[("connector_id", "home-userinfo")])
        .await
        .assert_error(401, DENIED);
}

#[tokio::test]
async fn an_exchanged_token_outlives_its_subject() {
    let two = Two::start().await;
    let exchanged = two.exchange(&[]).await.text("access_token");
    let exp = |token: &str| claims(token)["exp"].as_i64().unwrap();
    let longer = exp(&exchanged) - exp(&two.subject);
    assert!((10..=11).contains(&longer), "{longer} s");
    two.home.clock().advance(Duration::from_secs(12));
    let url = format!("{}/userinfo", two.remote.issuer());
    let answer = Answer::of(http().get(url).bearer_auth(&exchanged)).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.json()["email"], Value::from(EMAIL));
}

#[tokio::test]
async fn while_the_home_issuer_is_down_an_exchange_is_401_as_if_the_subject_were_bad() {
    let two = Two::start().await;
    two.home.set_down(true);
    two.exchange(&[("connector_id", "home-userinfo")])
        .await
        .assert_error(401, DENIED);
    two.home.set_down(false);
    two.exchange(&[("connector_id", "home-userinfo")])
        .await
        .assert_tokens();
}

#[tokio::test]
async fn a_rotated_home_key_is_fetched_at_the_first_token_it_signed() {
    let two = Two::start().await;
    two.exchange(&[]).await.assert_tokens();
    two.home.rotate_keys();
    let fresh = login(&two.home).await.id_token;
    two.exchange(&[("subject_token", &fresh)]).await.assert_tokens();
    two.exchange(&[]).await.assert_tokens();
    assert_eq!(two.home.counts().key_fetches, 2);
}
