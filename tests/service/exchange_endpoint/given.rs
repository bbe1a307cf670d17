//! Control remembers whose token it gave: the aggregator presents it at the gateway, and the filter asks about it.

use tokenward_harness::issuer::Endpoint;
use tokenward_protocol::token_endpoint::Reason;

use super::{exchanged, log_in};
use crate::deployment::{ADMIN, Deployment, TokenCall};
use crate::exchange::{Pair, pair};
use crate::logout::{log_out, logout_token};
use crate::secrecy::Captured;

fn about_remote(home: &Deployment, token: &str) -> TokenCall {
    home.ask(token).server("remote")
}

#[tokio::test]
async fn a_stale_given_token_is_replaced_where_the_home_login_is_registered() -> anyhow::Result<()> {
    let Pair { remote, mut home } = pair(1, |_| {}).await?;
    let login = home.log_in("s-1").await?;
    let given = exchanged(&home, &login.id_token).await?;
    home.advance(301);
    let restarted = home.add_replica().await?;
    for replica in [0, restarted] {
        for session in [None, Some("s-1")] {
            let ask = about_remote(&home, given.token()).replica(replica);
            let ask = session.map_or(ask.clone(), |session| ask.session(session));
            let answer = ask.send().await?;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_ne!(answer.token(), given.token());
        }
    }
    assert_eq!(home.dex.counts().refreshes_presented, 1);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn it_is_renewed_ahead_and_when_it_is_rejected() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let login = home.log_in("s-1").await?;
    let given = exchanged(&home, &login.id_token).await?;
    home.advance(195);
    let ask = about_remote(&home, given.token());
    let ahead = ask.clone().reason(Reason::NearExpiry).send().await?;
    assert_eq!(ahead.status, 200, "{ahead:?}");
    assert_ne!(ahead.token(), given.token());
    home.advance(31);
    let replaced = ask.reason(Reason::Rejected).send().await?;
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_ne!(replaced.token(), ahead.token());
    assert_eq!(remote.counts().exchanges_presented, 3);
    Ok(())
}

#[tokio::test]
async fn without_a_login_a_stale_given_token_is_refused_quietly_and_truthfully() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let given = exchanged(&home, &log_in(&home).await?).await?;
    home.advance(301);
    for _ in 0..60 {
        let answer = about_remote(&home, given.token()).send().await?;
        assert_eq!(answer.refusal(), (400, "token_expired"), "{answer:?}");
        assert!(answer.text("error_description").contains("present a fresh token"));
        home.advance(1);
    }
    let lines = captured.text();
    assert!((1..=2).contains(&lines.matches(" WARN ").count()), "{lines}");
    assert_eq!(lines.matches("ERROR").count(), 0, "{lines}");
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn without_a_login_a_given_token_near_its_expiry_gets_what_the_aggregator_had_made_meanwhile()
-> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let given = exchanged(&home, &log_in(&home).await?).await?;
    home.advance(195);
    let ask = about_remote(&home, given.token()).reason(Reason::NearExpiry);
    assert_eq!(ask.send().await?.refusal(), (503, "not_registered"));
    let next = exchanged(&home, &log_in(&home).await?).await?;
    assert_ne!(next.token(), given.token());
    assert_eq!(ask.send().await?.token(), next.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    // Once it is stale it proves nothing any more.
    home.advance(110);
    assert_eq!(ask.send().await?.refusal(), (400, "token_expired"));
    Ok(())
}

#[tokio::test]
async fn without_a_login_a_rejected_given_token_is_not_given_again() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let given = exchanged(&home, &token).await?;
    home.advance(31);
    let ask = about_remote(&home, given.token()).reason(Reason::Rejected);
    assert_eq!(ask.send().await?.refusal(), (503, "not_registered"));
    let next = exchanged(&home, &token).await?;
    assert_eq!(next.status, 200);
    assert_ne!(next.token(), given.token());
    assert_eq!(ask.send().await?.token(), next.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_ends_what_was_given_before_it() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let registered = home.log_in("s-1").await?;
    let given = exchanged(&home, &registered.id_token).await?;
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        let answer = about_remote(&home, given.token()).reason(reason).send().await?;
        assert_eq!(answer.refusal(), (400, "unknown_session"), "{reason:?}");
    }
    home.advance(2);
    home.log_in("s-2").await?;
    home.advance(300);
    let answer = about_remote(&home, given.token()).send().await?;
    assert_eq!(
        answer.refusal(),
        (400, "unknown_session"),
        "a later login does not revive it"
    );
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_while_the_exchange_is_under_way_gives_nothing() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let subject = home.dex.subject(ADMIN);
    remote.hold(Endpoint::Exchange);
    let (answer, ended) = tokio::join!(exchanged(&home, &token), async {
        remote.wait_until_held(Endpoint::Exchange, 1).await;
        let ended = home.sign_out(&subject).await;
        remote.release(Endpoint::Exchange);
        ended
    });
    assert_eq!(ended?.status, 200);
    let answer = answer?;
    assert_eq!(
        (answer.status, answer.text("error")),
        (401, "access_denied"),
        "{answer:?}"
    );
    Ok(())
}

/// The grace is counted from the given token's own end.
#[tokio::test]
async fn a_given_token_proves_its_user_for_the_grace_and_no_longer() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let config = home.changed(|document| document["stale_subject_grace"] = "1h".into())?;
    let service = home.service(0).service().succeeded_by(config)?;
    home.service(0).replace(service);
    let login = home.log_in("s-1").await?;
    let given = exchanged(&home, &login.id_token).await?;
    home.advance(300 + 3599);
    assert_eq!(about_remote(&home, given.token()).send().await?.status, 200);
    home.advance(3);
    let answer = about_remote(&home, given.token()).send().await?;
    // Its record has lapsed too: nothing connects it with the login.
    assert_eq!(answer.refusal(), (400, "token_expired"), "{answer:?}");
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_token_of_the_remote_that_control_never_gave_opens_nothing() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.log_in("s-1").await?;
    let mint = || remote.mint(ADMIN, "exchanger");
    let cases = [
        (mint().expires_in_seconds(-5).token(), (400, "token_expired")),
        (mint().expires_in_seconds(250).token(), (503, "not_registered")),
        (
            mint().expires_in_seconds(-5).signed_by_a_stranger().token(),
            (400, "subject_rejected"),
        ),
    ];
    for (token, refusal) in cases {
        let answer = about_remote(&home, &token).send().await?;
        assert_eq!(answer.refusal(), refusal, "{answer:?}");
    }
    // At a server without that issuer it is a token of a foreign one.
    let answer = home.ask(&mint().token()).send().await?;
    assert_eq!(answer.refusal(), (400, "wrong_issuer"));
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    assert_eq!(remote.counts().exchanges_presented, 0);
    Ok(())
}

/// The user has another session at the issuer, so that the login itself lives on.
#[tokio::test]
async fn a_logout_of_the_session_of_its_home_token_ends_a_given_token() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.log_in("s-1").await?;
    let token = home.dex.mint(ADMIN, "muster").claim("sid", "sid-1").token();
    let given = exchanged(&home, &token).await?;
    assert_eq!(given.status, 200, "{given:?}");
    home.advance(301);
    assert_eq!(about_remote(&home, given.token()).send().await?.status, 200);
    let logout = logout_token(&home, "one").claim("sid", "sid-1").without("sub");
    assert_eq!(log_out(&home, &logout.token()).await?.status, 200);
    let answer = about_remote(&home, given.token()).send().await?;
    assert_eq!(answer.refusal(), (400, "unknown_session"));
    assert_eq!(home.status("s-1").await?.text("state"), "active");
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

/// A client that renews in time would leave a record behind for each token's life, for the whole grace.
#[tokio::test]
async fn of_one_exchange_the_sixteen_newest_given_tokens_are_remembered() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.log_in("s-1").await?;
    let mut given = Vec::new();
    for _ in 0..18 {
        let token = home.dex.mint(ADMIN, "muster").token();
        given.push(exchanged(&home, &token).await?.token().to_owned());
        home.advance(301);
    }
    for (number, token) in given.iter().enumerate() {
        let expected = if number < 2 {
            (400, "token_expired")
        } else {
            (200, "")
        };
        let answer = about_remote(&home, token).send().await?;
        assert_eq!(answer.refusal(), expected, "{number}: {answer:?}");
    }
    assert_eq!(remote.counts().exchanges_presented, 19);
    Ok(())
}

/// Else the aggregator would have a token whose user control no longer finds.
#[tokio::test]
async fn a_token_that_cannot_be_remembered_is_not_given() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let login = home.log_in("s-1").await?;
    // It is made and stored for the filter, which needs no record of it.
    assert_eq!(about_remote(&home, &login.id_token).send().await?.status, 200);
    home.store().set_broken(Some("write"));
    let answer = exchanged(&home, &login.id_token).await?;
    assert_eq!(
        (answer.status, answer.text("refusal")),
        (503, "store_unavailable")
    );
    home.store().set_broken(None);
    let given = exchanged(&home, &login.id_token).await?;
    assert_eq!(given.status, 200);
    home.advance(301);
    assert_eq!(about_remote(&home, given.token()).send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}
