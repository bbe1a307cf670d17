//! A sign-out ends all logins of the user, a logout of one session at the issuer one of them, and both reach filters.

use serde_json::json;
use tokenward_harness::issuer::{LoginTokens, fingerprint};
use tokenward_protocol::filter_state::EndedDigest;

use super::stage::{asked, logged_in, plan, presented, revoked, served, start};
use crate::deployment::{ADMIN, Deployment, Plan};
use crate::filter_state::{Follower, now, sorted};
use crate::logout::{log_out, logout_token};

const UNKNOWN: (u16, &str) = (400, "unknown_session");
const REFUSED: (u16, &str) = (400, "subject_rejected");

/// The login opens nothing, and cannot be registered again.
async fn assert_over(deployment: &Deployment, login: &LoginTokens, session: &str) -> anyhow::Result<()> {
    assert_eq!(deployment.status(session).await?.status, 404);
    assert_eq!(asked(deployment, login, session).await?.refusal(), UNKNOWN);
    assert_eq!(deployment.ask(&login.id_token).send().await?.refusal(), UNKNOWN);
    assert_refused(deployment, login, session).await
}

/// The login cannot be registered again.
async fn assert_refused(deployment: &Deployment, login: &LoginTokens, session: &str) -> anyhow::Result<()> {
    for again in [session, "s-again"] {
        let put = deployment.put_login(again, login).await?;
        assert_eq!(put.refusal(), REFUSED, "{put:?}");
        assert_eq!(deployment.status(again).await?.status, 404);
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_out_everywhere_ends_every_login_for_good() -> anyhow::Result<()> {
    for (valkey, at_once) in [(false, false), (false, true), (true, false)] {
        let mut deployment = Deployment::start(Plan { valkey, ..plan() }).await?;
        let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
        if !at_once {
            deployment.advance(5);
        }
        let subject = deployment.dex.subject(ADMIN);
        assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 2}));
        let mut given_back = revoked(&deployment).await;
        given_back.sort();
        let mut all = logins
            .each_ref()
            .map(|login| fingerprint(&login.refresh_token))
            .to_vec();
        all.sort();
        assert_eq!(given_back, all);
        deployment.add_replica().await?;
        for (number, login) in logins.iter().enumerate() {
            assert_over(&deployment, login, &format!("s-{number}")).await?;
        }
        // A new login, at once, is another matter.
        let new = deployment.log_in("s-2").await?;
        assert_eq!(served(&deployment, &new, "s-2").await?, new.id_token);
        deployment.advance(4000);
        for (number, login) in logins.iter().enumerate() {
            // A token of the very second of the new login is as good as its own.
            match at_once {
                false => assert_over(&deployment, login, &format!("s-{number}")).await?,
                true => assert_refused(&deployment, login, &format!("s-{number}")).await?,
            }
        }
        served(&deployment, &new, "s-2").await?;
        assert_eq!(presented(&deployment), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_out_that_an_outage_cuts_short_has_ended_every_login() -> anyhow::Result<()> {
    let deployment = start().await?;
    let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
    deployment.advance(301);
    let subject = deployment.dex.subject(ADMIN);
    // The user's own grant is written, and at most one login's.
    deployment.store().set_broken(Some("add_member"));
    assert_eq!(deployment.sign_out(&subject).await?.status, 503);
    deployment.store().set_broken(None);
    for (number, login) in logins.iter().enumerate() {
        let session = format!("s-{number}");
        assert_eq!(asked(&deployment, login, &session).await?.refusal(), UNKNOWN);
        assert_eq!(deployment.status(&session).await?.status, 404);
        assert_eq!(deployment.ask(&login.id_token).send().await?.refusal(), UNKNOWN);
        let put = deployment.put_login(&session, login).await?;
        assert_eq!(put.refusal(), REFUSED, "{put:?}");
    }
    assert_eq!(presented(&deployment), 0);
    assert_eq!(
        revoked(&deployment).await.len(),
        2,
        "what was left is deleted when it is met"
    );
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 2}));
    Ok(())
}

#[tokio::test]
async fn a_logout_token_that_names_the_user_ends_every_login() -> anyhow::Result<()> {
    let deployment = start().await?;
    let logins = [
        logged_in(&deployment, "s-0", "sid-0").await?,
        logged_in(&deployment, "s-1", "sid-1").await?,
    ];
    deployment.advance(5);
    let token = logout_token(&deployment, "one").token();
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    for (number, login) in logins.iter().enumerate() {
        assert_over(&deployment, login, &format!("s-{number}")).await?;
    }
    assert_eq!(revoked(&deployment).await.len(), 2);
    assert_eq!(presented(&deployment), 0);
    Ok(())
}

#[tokio::test]
async fn a_logout_token_that_names_a_session_ends_that_login_alone() -> anyhow::Result<()> {
    for with_subject in [true, false] {
        let deployment = start().await?;
        let first = logged_in(&deployment, "s-1", "sid-1").await?;
        let second = logged_in(&deployment, "s-2", "sid-2").await?;
        deployment.advance(5);
        let token = logout_token(&deployment, "one").claim("sid", "sid-2");
        let token = if with_subject { token } else { token.without("sub") };
        assert_eq!(log_out(&deployment, &token.token()).await?.status, 200);
        assert_over(&deployment, &second, "s-2").await?;
        assert_eq!(revoked(&deployment).await, [fingerprint(&second.refresh_token)]);
        deployment.advance(301);
        served(&deployment, &first, "s-1").await?;
        assert_eq!(presented(&deployment), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_end_of_the_last_login_ends_fresh_tokens_too() -> anyhow::Result<()> {
    let deployment = start().await?;
    let first = deployment.log_in("s-1").await?;
    let second = deployment.log_in("s-2").await?;
    for session in ["s-1", "s-2"] {
        assert_eq!(deployment.end(session).await?.status, 204);
    }
    assert_eq!(revoked(&deployment).await.len(), 2);
    for login in [&first, &second] {
        assert_eq!(deployment.ask(&login.id_token).send().await?.refusal(), UNKNOWN);
    }
    // The login itself was not ended everywhere: its aggregator may register it again.
    assert_eq!(deployment.put_login("s-1", &first).await?.status, 201);
    assert_eq!(served(&deployment, &first, "s-1").await?, first.id_token);
    Ok(())
}

#[tokio::test]
async fn each_end_reaches_filters_once() -> anyhow::Result<()> {
    let deployment = start().await?;
    let session = EndedDigest::session;
    for (name, sid) in [("s-1", "sid-1"), ("s-2", "sid-2"), ("s-3", "sid-3")] {
        logged_in(&deployment, name, sid).await?;
    }
    let mut filter = Follower::of(&deployment).await?;
    deployment.advance(1);
    logged_in(&deployment, "s-1", "sid-4").await?;
    assert_eq!(
        filter.learns(&deployment).await?,
        [],
        "a newer login of a session"
    );
    deployment.end("s-1").await?;
    assert_eq!(
        filter.learns(&deployment).await?,
        [(session("s-1"), now(&deployment))],
        "DELETE"
    );
    let token = logout_token(&deployment, "one").claim("sid", "sid-2").token();
    assert_eq!(log_out(&deployment, &token).await?.status, 200);
    let of_issuer = EndedDigest::issuer_session(deployment.dex.issuer(), "sid-2");
    assert_eq!(
        filter.learns(&deployment).await?,
        sorted([(of_issuer, now(&deployment)), (session("s-2"), now(&deployment))]),
        "a logout of one session at the issuer"
    );
    let subject = deployment.dex.subject(ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.body, json!({"sessions": 1}));
    let user = EndedDigest::user(deployment.dex.issuer(), &subject);
    assert_eq!(
        filter.learns(&deployment).await?,
        sorted([(user, now(&deployment)), (session("s-3"), now(&deployment))]),
        "a sign-out everywhere"
    );
    Ok(())
}

/// The record of a user's sign-outs may expire before a login does: the next sign-out must not count like the one before.
#[tokio::test]
async fn an_interrupted_sign_out_ends_every_login_also_after_the_record_of_an_earlier_one_has_expired()
-> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        settings: json!({"session_lifetime": "40h", "stale_subject_grace": "1h"}),
        ..plan()
    })
    .await?;
    let subject = deployment.dex.subject(ADMIN);
    deployment.sign_out(&subject).await?;
    deployment.advance(2);
    let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
    let mut newest = String::new();
    // Registered again and again, the logins outlive the record.
    for _ in 0..2 {
        deployment.advance(30 * 3600);
        newest = deployment.dex.mint(ADMIN, "muster").token();
        for (number, login) in logins.iter().enumerate() {
            let refresh_token = Some(login.refresh_token.as_str());
            let put = deployment
                .put(&format!("s-{number}"), &newest, refresh_token)
                .await?;
            assert_eq!(put.status, 200, "{put:?}");
        }
    }
    deployment.store().set_broken(Some("add_member"));
    assert_eq!(deployment.sign_out(&subject).await?.status, 503);
    deployment.store().set_broken(None);
    for session in ["s-0", "s-1"] {
        let answer = deployment.ask(&newest).session(session).send().await?;
        assert_eq!(answer.refusal(), UNKNOWN);
        assert_eq!(deployment.status(session).await?.status, 404);
    }
    Ok(())
}
