//! Whose token is it? An issuer signs access tokens, logout tokens and the ID tokens of other clients with the same keys:
//! none of them opens a user's login or takes its place.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, Endpoint, Failure, FakeDex, TokenDraft};

use crate::deployment::{ADMIN, Deployment, Plan};
use crate::exchange::{Pair, pair};

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const REFUSED: (u16, &str) = (400, "wrong_token_type");

fn lifetime() -> DexConfig {
    DexConfig::default().id_token_lifetime(Duration::from_secs(300))
}

/// Tokens of the right user, issuer, audience and signature that are no ID tokens of a configured client.
fn strange_tokens(draft: &TokenDraft, now_seconds: i64) -> Vec<(&'static str, TokenDraft)> {
    let with = |name: &str, value: Value| draft.clone().claim(name, value);
    let typed = |typ: &str| draft.clone().header("typ", typ);
    vec![
        ("another client's", with("azp", json!("lowpriv"))),
        (
            "another client's, for several",
            with("azp", json!("lowpriv")).audiences(&["muster", "lowpriv"]),
        ),
        (
            "another application's (Entra v1)",
            with("appid", json!("lowpriv")),
        ),
        ("azp empty", with("azp", json!(""))),
        ("azp as a list", with("azp", json!(["muster"]))),
        ("azp null", with("azp", Value::Null)),
        ("at+jwt", typed("at+jwt")),
        ("AT+JWT", typed("AT+JWT")),
        ("application/at+jwt", typed("application/at+jwt")),
        ("logout+jwt", typed("logout+jwt")),
        ("secevent+jwt", typed("secevent+jwt")),
        ("dpop+jwt", typed("dpop+jwt")),
        ("text/jwt", typed("text/jwt")),
        ("an empty header typ", typed("")),
        ("a header typ that is no text", draft.clone().header("typ", 1)),
        ("Bearer", with("typ", json!("Bearer"))),
        ("Refresh", with("typ", json!("Refresh"))),
        ("Offline", with("typ", json!("Offline"))),
        ("Logout", with("typ", json!("Logout"))),
        ("token_use access", with("token_use", json!("access"))),
        ("events", with("events", json!({LOGOUT_EVENT: {}}))),
        ("events empty", with("events", json!({}))),
        ("cnf", with("cnf", json!({"jkt": "x"}))),
        ("nbf ahead", with("nbf", json!(now_seconds + 61))),
        (
            "nbf ahead with a fraction",
            with("nbf", json!(now_seconds as f64 + 60.5)),
        ),
        ("nbf as a text", with("nbf", json!("0"))),
        ("iat ahead", with("iat", json!(now_seconds + 301))),
        ("iat a year ahead", with("iat", json!(now_seconds + 365 * 86_400))),
    ]
}

/// ID tokens that look a little different.
fn good_tokens(draft: &TokenDraft, now_seconds: i64) -> Vec<(&'static str, TokenDraft)> {
    let with = |name: &str, value: Value| draft.clone().claim(name, value);
    let typed = |typ: &str| draft.clone().header("typ", typ);
    vec![
        ("plain", draft.clone()),
        ("own azp", with("azp", json!("muster"))),
        ("several audiences", draft.clone().audiences(&["kube", "muster"])),
        (
            "several audiences, own azp",
            with("azp", json!("muster")).audiences(&["kube", "muster"]),
        ),
        ("JWT", typed("JWT")),
        ("jwt", typed("jwt")),
        ("application/jwt", typed("application/jwt")),
        ("Keycloak's ID", with("typ", json!("ID"))),
        ("token_use id", with("token_use", json!("id"))),
        ("nbf over", with("nbf", json!(now_seconds - 1))),
        (
            "nbf over with a fraction",
            with("nbf", json!(now_seconds as f64 - 0.5)),
        ),
        ("nbf within the leeway", with("nbf", json!(now_seconds + 60))),
        ("iat within the leeway", with("iat", json!(now_seconds + 300))),
        ("a scope", with("scope", json!("openid"))),
    ]
}

#[tokio::test]
async fn no_token_but_an_id_token_of_a_configured_client_opens_a_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let now_seconds = deployment.clock().now_ms() / 1000;
    let expired = deployment.dex.mint(ADMIN, "muster").expires_in_seconds(-20);
    for (what, draft) in strange_tokens(&expired, now_seconds) {
        let token = draft.token();
        for session in [None, Some("s-1")] {
            let ask = deployment.ask(&token);
            let ask = session.map_or(ask.clone(), |session| ask.session(session));
            let answer = ask.send().await?;
            assert_eq!(answer.refusal(), REFUSED, "{what}: {answer:?}");
            let says = answer.text("error_description");
            assert!(!says.contains("log in again"), "{what}: {says}");
        }
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    for (what, draft) in good_tokens(&expired, now_seconds) {
        let answer = deployment.ask(&draft.token()).send().await?;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    }
    assert_eq!(deployment.ask(&login.id_token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn no_token_but_an_id_token_of_a_configured_client_is_taken_for_a_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let before = deployment.status("s-1").await?.body;
    deployment.advance(2);
    let now_seconds = deployment.clock().now_ms() / 1000;
    let fresh = deployment.dex.mint(ADMIN, "muster");
    for (what, draft) in strange_tokens(&fresh, now_seconds) {
        let put = deployment.put("s-1", &draft.token(), Some("stolen")).await?;
        assert_eq!(put.refusal(), REFUSED, "{what}: {put:?}");
        assert_eq!(
            deployment.put("s-2", &draft.token(), None).await?.refusal(),
            REFUSED,
            "{what}"
        );
    }
    assert_eq!(
        deployment.status("s-1").await?.body,
        before,
        "the login is what it was"
    );
    assert_eq!(deployment.status("s-2").await?.status, 404);
    for (what, draft) in good_tokens(&fresh, now_seconds) {
        let put = deployment.put("s-1", &draft.token(), None).await?;
        assert_eq!(put.status, 200, "{what}: {put:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_proven_once_is_judged_each_time_by_its_nbf() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    deployment.log_in("s-1").await?;
    let now_seconds = deployment.clock().now_ms() / 1000;
    let token = deployment
        .dex
        .mint(ADMIN, "muster")
        .claim("nbf", now_seconds + 70)
        .token();
    let ask = deployment.ask(&token);
    assert_eq!(ask.send().await?.refusal(), REFUSED);
    deployment.advance(10);
    for _ in 0..2 {
        assert_eq!(ask.send().await?.status, 200);
    }
    Ok(())
}

/// A deployment with two configured clients at its issuer, and one more that the first client trusts.
async fn with_peers() -> anyhow::Result<Deployment> {
    let dex = FakeDex::start(lifetime()).await?;
    let issuer = dex.issuer().to_owned();
    let client = |id: &str, peers: Value| json!({"issuer": issuer, "client_id": id, "client_secret": {"file": "@issuer-0"}, "trusted_peers": peers});
    let settings = json!({"issuers": [client("muster", json!(["cli"])), client("kube", json!([]))]});
    let plan = Plan {
        settings,
        ..Plan::default()
    };
    Deployment::start_beside(plan, dex).await
}

#[tokio::test]
async fn tokens_of_other_configured_clients_and_of_trusted_peers_count_as_the_clients_own()
-> anyhow::Result<()> {
    let deployment = with_peers().await?;
    deployment.log_in("s-1").await?;
    let draft = deployment.dex.mint(ADMIN, "muster");
    for (party, answers) in [("muster", 200), ("kube", 200), ("cli", 200), ("lowpriv", 400)] {
        let token = draft.clone().claim("azp", party).token();
        assert_eq!(deployment.ask(&token).send().await?.status, answers, "{party}");
        assert_eq!(
            deployment.put("s-1", &token, None).await?.status,
            answers,
            "{party}"
        );
    }
    // The peer is trusted with muster's logins only.
    let for_kube = deployment.dex.mint(ADMIN, "kube").claim("azp", "cli").token();
    assert_eq!(deployment.ask(&for_kube).send().await?.refusal(), REFUSED);
    let unknown = deployment
        .ask(&draft.claim("azp", "lowpriv").token())
        .send()
        .await?;
    assert!(
        unknown.text("error_description").contains("trusted_peers"),
        "{unknown:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_brings_another_kind_of_token_is_not_served() -> anyhow::Result<()> {
    let changes: [fn(TokenDraft) -> TokenDraft; 4] = [
        |draft| draft.claim("azp", "lowpriv"),
        |draft| draft.header("typ", "at+jwt"),
        |draft| draft.claim("typ", "Bearer"),
        |draft| draft.claim("cnf", json!({"jkt": "x"})),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let deployment = Deployment::start(Plan::default()).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        let brought = change(deployment.dex.mint(ADMIN, "muster")).token();
        let body = json!({"access_token": "a", "token_type": "bearer", "id_token": brought}).to_string();
        deployment
            .dex
            .fail_next(Endpoint::Refresh, 1, &Failure::answer(200, &body));
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.status, 500, "{number}: {answer:?}");
        deployment.advance(31);
        assert_eq!(
            deployment.ask(&tokens.id_token).send().await?.status,
            200,
            "{number}: the login is kept"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_exchange_that_brings_another_kind_of_token_is_not_served() -> anyhow::Result<()> {
    let changes: [fn(TokenDraft) -> TokenDraft; 5] = [
        |draft| draft.claim("azp", "lowpriv"),
        |draft| draft.header("typ", "at+jwt"),
        |draft| draft.claim("typ", "Refresh"),
        |draft| draft.claim("events", json!({LOGOUT_EVENT: {}})),
        |draft| draft.claim("cnf", json!({"jkt": "x"})),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let Pair { remote, home } = pair(1, |_| {}).await?;
        let tokens = home.log_in("s-1").await?;
        let brought = change(remote.mint(ADMIN, "exchanger")).token();
        let body = json!({
            "access_token": brought, "token_type": "bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:id_token",
        });
        remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(200, &body.to_string()));
        let ask = home.ask(&tokens.id_token).server("remote");
        let answer = ask.send().await?;
        assert_eq!(
            answer.refusal(),
            (500, "exchange_misconfigured"),
            "{number}: {answer:?}"
        );
        home.advance(31);
        assert_eq!(ask.send().await?.status, 200, "{number}");
    }
    Ok(())
}
