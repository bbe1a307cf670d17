//! The authorization endpoint and the codes that come of it.

use std::time::Duration;

use tokenward_harness::browser::{Browser, Code, CodeLogin};
use tokenward_harness::issuer::{DexClient, DexConnector, Endpoint, Failure, FakeDex};

use super::peer::{
    ALL_SCOPES, Answer, EMAIL, KUBE, MUSTER, claims, config, dex, members, payload, refresh, token,
};

const CALLBACK: &str = "http://127.0.0.1/callback";
const UNKNOWN_CODE: &str =
    r#"{"error":"invalid_grant","error_description":"Invalid or expired code parameter."}"#;

fn login(dex: &FakeDex) -> CodeLogin<'_> {
    CodeLogin {
        issuer: dex.issuer(),
        client_id: MUSTER.0,
        client_secret: MUSTER.1,
        redirect_uri: CALLBACK,
        scope: ALL_SCOPES,
    }
}

async fn code(dex: &FakeDex) -> Code {
    login(dex).code(&Browser::new().unwrap(), EMAIL).await.unwrap()
}

/// A browser at a path below the issuer, without following redirects.
async fn open(dex: &FakeDex, path: &str, query: &[(&str, &str)]) -> Answer {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    Answer::of(http.get(format!("{}{path}?{query}", dex.issuer())))
        .await
        .unwrap()
}

/// A good request with these parameters instead of its own.
async fn begin(dex: &FakeDex, changes: &[(&str, &str)]) -> Answer {
    let mut query = vec![
        ("client_id", MUSTER.0),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "S"),
    ];
    query.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    query.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    open(dex, "/auth/local", &query).await
}

async fn redeem(dex: &FakeDex, client: (&str, &str), code: &str, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", "authorization_code"), ("code", code)];
    form.extend(more);
    token(dex, client, &form).await
}

#[tokio::test]
async fn a_browser_logs_in_with_a_code_and_the_tokens_can_be_refreshed() {
    let dex = dex().await;
    let tokens = login(&dex).log_in(&Browser::new().unwrap(), EMAIL).await.unwrap();
    assert_eq!(claims(&tokens.id_token)["email"], EMAIL);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
    let counts = dex.counts();
    assert_eq!(
        (counts.authorizations, counts.logins, counts.refreshes_succeeded),
        (1, 1, 1)
    );
    assert_eq!(dex.counts_of(EMAIL).logins, 1);
}

#[tokio::test]
async fn the_id_token_of_a_code_has_its_hash_and_the_nonce_which_a_refreshed_one_has_too() {
    let dex = dex().await;
    let start = begin(&dex, &[("scope", ALL_SCOPES), ("nonce", "NN")]).await;
    let page = start.header("location").unwrap().to_owned();
    let origin = dex.issuer().strip_suffix("/dex").unwrap();
    let back = Browser::new()
        .unwrap()
        .log_in(&format!("{origin}{page}"), EMAIL, |url| url.path() == "/callback")
        .await
        .unwrap();
    let (_, code) = back.query_pairs().find(|(name, _)| name == "code").unwrap();
    let answer = redeem(&dex, MUSTER, &code, &[("redirect_uri", CALLBACK)]).await;
    answer.assert_tokens();
    assert_eq!(
        members(&payload(&answer.text("id_token"))),
        [
            "iss",
            "sub",
            "aud",
            "exp",
            "iat",
            "nonce",
            "at_hash",
            "c_hash",
            "email",
            "email_verified",
            "groups",
            "name"
        ]
    );
    assert_eq!(claims(&answer.text("id_token"))["nonce"], "NN");
    let refreshed = refresh(&dex, &answer.text("refresh_token")).await;
    let refreshed = claims(&refreshed.text("id_token"));
    assert_eq!(
        (&refreshed["nonce"], &refreshed["c_hash"]),
        (&"NN".into(), &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn an_unknown_client_and_a_foreign_redirect_get_a_page_and_no_redirect() {
    let dex = dex().await;
    for (change, status, text) in [
        (("client_id", "nope"), 404, "Invalid client_id."),
        (
            ("redirect_uri", "http://evil/cb"),
            400,
            "Unregistered redirect_uri.",
        ),
        (
            ("redirect_uri", "http://127.0.0.1:80/callback"),
            400,
            "Unregistered redirect_uri.",
        ),
        (("redirect_uri", ""), 400, "Unregistered redirect_uri."),
    ] {
        let answer = begin(&dex, &[change]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("location")),
            (status, None)
        );
        assert!(answer.body.contains(text), "{}", answer.body);
    }
}

#[tokio::test]
async fn other_mistakes_go_back_to_the_client() {
    let dex = dex().await;
    for (change, error) in [
        (
            ("response_type", ""),
            "error=invalid_request&error_description=No+response_type+provided",
        ),
        (
            ("response_type", "token"),
            "error=unsupported_response_type&error_description=Unsupported+response+type+%22token%22",
        ),
        (
            ("scope", "email"),
            "error=invalid_scope&error_description=Missing+required+scope%28s%29+%5B%22openid%22%5D.",
        ),
        (
            ("scope", "openid what"),
            "error=invalid_scope&error_description=Unrecognized+scope%28s%29+%5B%22what%22%5D",
        ),
        (
            ("scope", "openid audience:server:client_id:other"),
            "error=invalid_scope&error_description=Client+can%27t+request+scope%28s%29+\
             %5B%22audience%3Aserver%3Aclient_id%3Aother%22%5D",
        ),
        (
            ("connector_id", "nope"),
            "error=invalid_request&error_description=Invalid+ConnectorID",
        ),
        (
            ("request", "x"),
            "error=request_not_supported&error_description=Server+does+not+support+request+parameter.",
        ),
    ] {
        let answer = begin(&dex, &[change]).await;
        assert_eq!(answer.status.as_u16(), 303, "{change:?}");
        let expected = format!("{CALLBACK}?{error}&state=S");
        assert_eq!(answer.header("location"), Some(expected.as_str()));
    }
    let method = begin(&dex, &[("code_challenge", "x"), ("code_challenge_method", "bad")]).await;
    let expected = format!(
        "{CALLBACK}?error=invalid_request&error_description=\
         Unsupported+PKCE+challenge+method+%28%22bad%22%29.&state=S"
    );
    assert_eq!(method.header("location"), Some(expected.as_str()));
}

#[tokio::test]
async fn the_authorization_endpoint_sends_the_browser_to_the_one_connector_with_a_page() {
    let dex = FakeDex::start(config().connector(DexConnector::oidc("home", "http://127.0.0.1:1/dex")))
        .await
        .unwrap();
    let answer = open(&dex, "/auth", &[("client_id", "a"), ("connector_id", "home")]).await;
    assert_eq!(answer.status.as_u16(), 302);
    let expected = "/dex/auth/local?client_id=a&connector_id=home";
    assert_eq!(answer.header("location"), Some(expected));
    let unknown = open(&dex, "/auth", &[("connector_id", "nope")]).await;
    assert_eq!(unknown.status.as_u16(), 400);
    assert!(
        unknown
            .body
            .contains("Connector ID does not match a valid Connector")
    );
    assert_eq!(dex.counts().authorizations, 2);
}

#[tokio::test]
async fn a_wrong_password_shows_the_page_again_and_a_finished_page_is_gone() {
    let dex = dex().await;
    let location = begin(&dex, &[]).await.header("location").unwrap().to_owned();
    let page = format!("{}{location}", dex.issuer().strip_suffix("/dex").unwrap());
    let post = |password: &'static str| {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Answer::of(
            http.build()
                .unwrap()
                .post(&page)
                .form(&[("login", EMAIL), ("password", password)]),
        )
    };
    let wrong = post("wrong").await.unwrap();
    assert_eq!(wrong.status.as_u16(), 401);
    assert!(wrong.body.contains("Invalid Email Address and password."));
    let right = post("password").await.unwrap();
    assert_eq!(right.status.as_u16(), 303);
    assert!(right.header("location").unwrap().ends_with("&state=S"));
    let again = post("password").await.unwrap();
    assert_eq!(again.status.as_u16(), 400);
    assert!(again.body.contains("Requested resource does not exist."));
    assert_eq!(dex.counts().logins, 0, "no client has redeemed the code");
}

#[tokio::test]
async fn a_code_is_redeemed_once_with_its_redirect_and_its_verifier() {
    let dex = dex().await;
    let Code { code, verifier } = code(&dex).await;
    let redirect = ("redirect_uri", CALLBACK);
    let verifier = ("code_verifier", verifier.as_str());
    redeem(&dex, MUSTER, "", &[]).await.assert_error(
        400,
        r#"{"error":"invalid_request","error_description":"Required param: code."}"#,
    );
    redeem(&dex, MUSTER, "zzz", &[redirect])
        .await
        .assert_error(400, UNKNOWN_CODE);
    redeem(&dex, MUSTER, &code, &[("redirect_uri", "http://127.0.0.1/other"), verifier])
        .await
        .assert_error(
            400,
            r#"{"error":"invalid_request","error_description":"redirect_uri did not match URI from initial request."}"#,
        );
    redeem(&dex, MUSTER, &code, &[redirect]).await.assert_error(
        400,
        r#"{"error":"invalid_grant","error_description":"Expecting parameter code_verifier in PKCE flow."}"#,
    );
    redeem(&dex, MUSTER, &code, &[redirect, ("code_verifier", "wrong")])
        .await
        .assert_error(
            400,
            r#"{"error":"invalid_grant","error_description":"Invalid code_verifier."}"#,
        );
    redeem(&dex, MUSTER, &code, &[redirect, verifier])
        .await
        .assert_tokens();
    redeem(&dex, MUSTER, &code, &[redirect, verifier])
        .await
        .assert_error(400, UNKNOWN_CODE);
    assert_eq!(dex.counts().logins, 1);
}

#[tokio::test]
async fn a_code_of_another_client_or_past_its_life_is_a_server_error() {
    let dex = dex().await;
    let Code { code, verifier } = code(&dex).await;
    let more = [("redirect_uri", CALLBACK), ("code_verifier", verifier.as_str())];
    let answer = redeem(&dex, KUBE, &code, &more).await;
    answer.assert_error(500, r#"{"error":"server_error"}"#);
    dex.clock().advance(Duration::from_secs(31 * 60));
    let answer = redeem(&dex, MUSTER, &code, &more).await;
    answer.assert_error(500, r#"{"error":"server_error"}"#);
    assert_eq!(dex.counts().logins, 0);
}

#[tokio::test]
async fn a_login_may_lack_its_refresh_token_or_have_another_nonce() {
    let dex = dex().await;
    for (failure, has_token) in [(Failure::DropRefreshToken, false), (Failure::OtherNonce, true)] {
        dex.fail_next(Endpoint::Login, 1, &failure);
        let Code { code, verifier } = code(&dex).await;
        let more = [("redirect_uri", CALLBACK), ("code_verifier", verifier.as_str())];
        let answer = redeem(&dex, MUSTER, &code, &more).await;
        answer.assert_tokens();
        let has_nonce = claims(&answer.text("id_token"))["nonce"] == "another-nonce";
        assert_eq!(
            (answer.json()["refresh_token"].is_string(), has_nonce),
            (has_token, has_token)
        );
    }
}

#[tokio::test]
async fn the_login_page_has_a_button_for_each_user_and_escapes_names() {
    let odd = DexClient::new("<b>odd\"client</b>", "s");
    let dex = FakeDex::start(
        config()
            .client(odd)
            .user(tokenward_harness::issuer::DexUser::new("bob@example.com")),
    )
    .await
    .unwrap();
    let location = begin(&dex, &[("client_id", "<b>odd\"client</b>")])
        .await
        .header("location")
        .unwrap()
        .to_owned();
    let page = format!("{}{location}", dex.issuer().strip_suffix("/dex").unwrap());
    let page = reqwest::get(page).await.unwrap().text().await.unwrap();
    assert_eq!(page.matches("Log in as ").count(), 2, "{page}");
    assert!(page.contains("&lt;b&gt;odd&quot;client&lt;/b&gt; asks"), "{page}");
    assert!(!page.contains("<b>"), "{page}");
}
