//! OpenID Connect Back-Channel Logout: the issuer ends its user's sessions, and only with a proper logout token.

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, DexUser, TokenDraft};

use crate::deployment::{ADMIN, Answer, Deployment, Plan};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

pub(crate) fn logout_token(deployment: &Deployment, id: &str) -> TokenDraft {
    deployment
        .dex
        .mint(ADMIN, "muster")
        .claim("jti", id)
        .claim("events", json!({EVENT: {}}))
}

/// A login of the issuer's session `sid`, put under `session`.
async fn put_of(deployment: &Deployment, session: &str, sid: &str) -> anyhow::Result<String> {
    let token = deployment.dex.mint(ADMIN, "muster").claim("sid", sid).token();
    let refresh_token = format!("refresh token of {session} and {sid}");
    let put = deployment.put(session, &token, Some(&refresh_token)).await?;
    anyhow::ensure!(put.status < 300, "{put:?}");
    Ok(token)
}

async fn log_out_sid(deployment: &Deployment, id: &str, sid: &str) -> anyhow::Result<()> {
    let token = logout_token(deployment, id).claim("sid", sid).token();
    let answer = log_out(deployment, &token).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

pub(crate) async fn log_out(deployment: &Deployment, token: &str) -> anyhow::Result<Answer> {
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", token)
        .finish();
    let request = deployment
        .http
        .post(format!("{}/v1/backchannel-logout", deployment.urls[0]))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    deployment.request(request).await
}

#[tokio::test]
async fn a_logout_token_ends_all_sessions_of_its_user_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.put_login("s-2", &tokens).await?;
    let token = logout_token(&deployment, "one").token();
    let answer = log_out(&deployment, &token).await?;
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store"))
    );
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    // Replayed after the user has come back, it ends nothing.
    deployment.log_in("s-3").await?;
    assert_eq!(
        log_out(&deployment, &token).await?.refusal(),
        (400, "bad_request")
    );
    assert_eq!(deployment.status("s-3").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_not_a_logout_token_ends_nothing() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let good = |id: &str| logout_token(&deployment, id);
    let cases = [
        ("an ID token", tokens.id_token.clone()),
        ("a nonce", good("a").claim("nonce", "n").token()),
        (
            "a nonce that is null",
            good("a0").claim("nonce", Value::Null).token(),
        ),
        ("at+jwt", good("a1").header("typ", "at+jwt").token()),
        ("secevent+jwt", good("a2").header("typ", "secevent+jwt").token()),
        ("Keycloak's Bearer", good("a3").claim("typ", "Bearer").token()),
        ("neither sub nor sid", good("a4").without("sub").token()),
        ("an empty sid", good("a5").claim("sid", "").token()),
        ("a sid that is no text", good("a6").claim("sid", 7).token()),
        ("a sub that is no text", good("a7").claim("sub", 7).token()),
        ("no exp", good("a8").without("exp").token()),
        ("a jti that is no text", good("a9").claim("jti", 7).token()),
        ("an empty jti", good("").token()),
        ("nbf ahead", good("b0").claim("nbf", 4_000_000_000_u64).token()),
        (
            "events that is no object",
            good("b1").claim("events", json!([EVENT])).token(),
        ),
        (
            "an event that is no object",
            good("b2").claim("events", json!({EVENT: []})).token(),
        ),
        ("no event", good("b").without("events").token()),
        (
            "another event",
            good("c").claim("events", json!({"other": {}})).token(),
        ),
        ("no jti", good("d").without("jti").token()),
        ("no iat", good("e").without("iat").token()),
        ("an old iat", good("f").claim("iat", 1).token()),
        ("expired", good("g").expires_in_seconds(-1).token()),
        ("forged", good("h").signed_by_a_stranger().token()),
        ("unsigned", good("i").unsigned().token()),
        ("HS256", good("j").hs256_with_public_key().token()),
        ("another audience", good("k").claim("aud", "kube").token()),
        (
            "another issuer",
            good("l").claim("iss", "https://x.example.com").token(),
        ),
        ("nothing", String::new()),
    ];
    for (what, token) in cases {
        let answer = log_out(&deployment, &token).await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{what}: {answer:?}");
        assert_eq!(deployment.status("s-1").await?.status, 200, "{what}");
    }
    Ok(())
}

/// §2.4 recommends `logout+jwt`; older issuers write other things.
#[tokio::test]
async fn logout_tokens_of_all_issuers_are_understood() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let good = |id: &str| logout_token(&deployment, id);
    let cases = [
        ("logout+jwt", good("a").header("typ", "logout+jwt")),
        (
            "application/logout+jwt",
            good("b").header("typ", "application/LOGOUT+jwt"),
        ),
        ("JWT", good("c").header("typ", "JWT")),
        ("Keycloak's Logout", good("d").claim("typ", "Logout")),
        ("several audiences", good("e").audiences(&["kube", "muster"])),
        (
            "more events",
            good("f").claim("events", json!({EVENT: {}, "other": {}})),
        ),
        (
            "a fraction in iat",
            good("g").claim("iat", json!(deployment.clock().now_ms() as f64 / 1000.0 + 0.5)),
        ),
    ];
    for (what, token) in cases {
        deployment.log_in("s-1").await?;
        let answer = log_out(&deployment, &token.token()).await?;
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
        assert_eq!(deployment.status("s-1").await?.status, 404, "{what}");
    }
    Ok(())
}

/// §2.7: a logout with a `sid` ends that session, with `sub` or without.
#[tokio::test]
async fn a_logout_of_one_session_leaves_the_users_others_alone() -> anyhow::Result<()> {
    for (valkey, with_subject) in [(false, true), (false, false), (true, true), (true, false)] {
        let deployment = Deployment::start(Plan {
            valkey,
            ..Plan::default()
        })
        .await?;
        let first = put_of(&deployment, "s-1", "sid-1").await?;
        deployment.advance(2);
        put_of(&deployment, "s-2", "sid-2").await?;
        put_of(&deployment, "s-3", "sid-2").await?;
        deployment.advance(2);
        let token = logout_token(&deployment, "one").claim("sid", "sid-2");
        let token = if with_subject { token } else { token.without("sub") };
        assert_eq!(log_out(&deployment, &token.token()).await?.status, 200);
        for (session, status) in [("s-1", 200), ("s-2", 404), ("s-3", 404)] {
            assert_eq!(deployment.status(session).await?.status, status, "{session}");
        }
        let ask = deployment.ask(&first).session("s-1");
        assert_eq!(ask.send().await?.status, 200);
        // The last one goes with its login.
        log_out_sid(&deployment, "two", "sid-1").await?;
        assert_eq!(deployment.status("s-1").await?.status, 404);
        assert_eq!(ask.send().await?.refusal(), (400, "unknown_session"));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_has_ended_at_the_issuer_is_not_brought_back_by_its_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let first = put_of(&deployment, "s-1", "sid-1").await?;
    put_of(&deployment, "s-2", "sid-2").await?;
    deployment.advance(2);
    log_out_sid(&deployment, "one", "sid-1").await?;
    for refresh_token in ["refresh token of s-1 and sid-1", "another"] {
        let put = deployment.put("s-1", &first, Some(refresh_token)).await?;
        assert_eq!(put.refusal(), (400, "subject_rejected"), "{put:?}");
        assert_eq!(deployment.status("s-1").await?.status, 404);
    }
    // Nor does its token open what the other session holds.
    assert_eq!(
        deployment.ask(&first).send().await?.refusal(),
        (400, "unknown_session")
    );
    // A login that the issuer made in it afterwards, in the same second too, is a new one.
    put_of(&deployment, "s-3", "sid-3").await?;
    log_out_sid(&deployment, "two", "sid-3").await?;
    let again = deployment.dex.mint(ADMIN, "muster").claim("sid", "sid-3").token();
    assert_eq!(
        deployment.put("s-3", &again, Some("a new one")).await?.status,
        201
    );
    assert_eq!(deployment.status("s-2").await?.status, 200);
    Ok(())
}

/// A session is of the login that was put last.
#[tokio::test]
async fn a_session_that_was_put_with_a_login_of_another_sid_follows_that() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    put_of(&deployment, "s-1", "sid-1").await?;
    deployment.advance(1);
    put_of(&deployment, "s-1", "sid-2").await?;
    log_out_sid(&deployment, "one", "sid-1").await?;
    assert_eq!(deployment.status("s-1").await?.status, 200);
    log_out_sid(&deployment, "two", "sid-2").await?;
    assert_eq!(deployment.status("s-1").await?.status, 404);
    Ok(())
}

/// Logins without `sid`, and those that an older version stored: their user is known, their session at the issuer is not.
#[tokio::test]
async fn a_logout_of_one_session_ends_the_users_sessions_of_which_no_sid_is_known() -> anyhow::Result<()> {
    let other = "other@example.com";
    let dex = DexConfig::default().user(DexUser::new(other));
    let deployment = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    deployment.log_in("s-1").await?;
    deployment.log_in_as("s-2", other).await?;
    put_of(&deployment, "s-3", "sid-3").await?;
    log_out_sid(&deployment, "one", "sid-1").await?;
    for (session, status) in [("s-1", 404), ("s-2", 200), ("s-3", 200)] {
        assert_eq!(deployment.status(session).await?.status, status, "{session}");
    }
    // Without the user there is nothing to match it by.
    let token = logout_token(&deployment, "two")
        .claim("sid", "sid-1")
        .without("sub");
    assert_eq!(log_out(&deployment, &token.token()).await?.status, 200);
    assert_eq!(deployment.status("s-2").await?.status, 200);
    Ok(())
}

/// A `sid` that is named together with another user ends no session.
#[tokio::test]
async fn a_sid_ends_only_a_session_of_the_user_that_is_named_with_it() -> anyhow::Result<()> {
    let other = "other@example.com";
    let dex = DexConfig::default().user(DexUser::new(other));
    let deployment = Deployment::start(Plan {
        dex,
        ..Plan::default()
    })
    .await?;
    put_of(&deployment, "s-1", "sid-1").await?;
    let token = logout_token(&deployment, "one").claim("sid", "sid-1");
    let token = token.claim("sub", deployment.dex.subject(other)).token();
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    assert_eq!(deployment.status("s-1").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_logout_of_the_user_is_not_undone_by_putting_the_old_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(1);
    let token = logout_token(&deployment, "one").token();
    // It arrives late, and the user has come back meanwhile.
    deployment.advance(20);
    let back = deployment.dex.log_in(ADMIN, "muster").await?;
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    let put = deployment.put_login("s-1", &tokens).await?;
    assert_eq!(put.refusal(), (400, "subject_rejected"), "{put:?}");
    assert_eq!(deployment.put_login("s-1", &back).await?.status, 201);
    Ok(())
}

/// An issuer's clock that is ahead locks no user out.
#[tokio::test]
async fn a_user_who_comes_back_after_a_logout_from_the_future_is_let_in_at_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let ahead = deployment.clock().now_ms() / 1000 + 200;
    let old = deployment.log_in("s-1").await?;
    let token = logout_token(&deployment, "one").claim("iat", ahead).token();
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    let put = deployment.put_login("s-1", &old).await?;
    assert_eq!(put.refusal(), (400, "subject_rejected"), "{put:?}");
    deployment.log_in("s-1").await?;
    put_of(&deployment, "s-2", "sid-2").await?;
    let token = logout_token(&deployment, "two")
        .claim("sid", "sid-2")
        .claim("iat", ahead);
    assert_eq!(log_out(&deployment, &token.token()).await?.status, 200);
    let again = deployment.dex.mint(ADMIN, "muster").claim("sid", "sid-2").token();
    assert_eq!(
        deployment.put("s-2", &again, Some("a new one")).await?.status,
        201
    );
    Ok(())
}

#[tokio::test]
async fn a_logout_that_an_outage_cuts_short_can_be_sent_again() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    put_of(&deployment, "s-1", "sid-1").await?;
    let token = logout_token(&deployment, "one").claim("sid", "sid-1").token();
    for operation in ["write", "members"] {
        deployment.store().set_broken(Some(operation));
        let answer = log_out(&deployment, &token).await?;
        assert_eq!(answer.refusal(), (503, "store_unavailable"), "{operation}");
        deployment.store().set_broken(None);
    }
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    assert_eq!(deployment.status("s-1").await?.status, 404);
    Ok(())
}
