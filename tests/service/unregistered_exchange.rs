//! Users without a registered login at a server of another issuer: a fresh token is exchanged as it is, a stale one opens
//! nothing, and a sign-out ends what was made.

use std::time::Duration;

use anyhow::Context as _;
use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Answer, Deployment, TokenCall, at_once};
use crate::exchange::{Pair, pair};
use crate::secrecy::Captured;

async fn log_in(home: &Deployment) -> anyhow::Result<String> {
    Ok(home.dex.log_in(ADMIN, "muster").await?.id_token)
}

fn about_remote(home: &Deployment, token: &str) -> TokenCall {
    home.ask(token).server("remote")
}

#[tokio::test]
async fn a_fresh_token_is_exchanged_once_for_all_callers_and_replicas() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(3, |_| {}).await?;
    let token = log_in(&home).await?;
    remote.set_latency(Endpoint::Exchange, Duration::from_millis(200));
    let asks: Vec<_> = (0..60)
        .map(|caller| about_remote(&home, &token).replica(caller % 3))
        .collect();
    let mut served = Vec::new();
    for answer in at_once(asks.iter().map(|ask| ask.send())).await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
        served.push(answer.token().to_owned());
    }
    served.dedup();
    assert_eq!(served.len(), 1);
    // A session that no PUT has registered changes nothing.
    let with_session = about_remote(&home, &token).session("s-unknown").send().await?;
    assert_eq!(with_session.token(), served[0]);
    assert_eq!(remote.counts().exchanges_presented, 1);
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn a_restart_costs_no_new_exchange_and_the_next_fresh_token_none_either() -> anyhow::Result<()> {
    let Pair { remote, mut home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let first = about_remote(&home, &token).send().await?;
    let restarted = home.add_replica().await?;
    home.advance(2);
    let next = log_in(&home).await?;
    for token in [&token, &next] {
        let answer = about_remote(&home, token).replica(restarted).send().await?;
        assert_eq!(answer.token(), first.token(), "{answer:?}");
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

/// The filter's cache holds an answer until `expires_at`. A registered login needs no limit: it is renewed without the caller.
#[tokio::test]
async fn the_answer_may_be_used_no_longer_than_the_presented_token() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let presented = log_in(&home).await?;
    home.advance(100);
    let limit = |answer: &Answer| {
        let claims = |token: &str| Claims::read(token.as_bytes()).map(|claims| claims.exp_seconds);
        let (Ok(own), Ok(of_presented)) = (claims(answer.token()), claims(&presented)) else {
            return None;
        };
        Some((answer.body["expires_at"].as_u64()?, own, of_presented))
    };
    let unregistered = about_remote(&home, &presented).send().await?;
    let (usable, own, of_presented) = limit(&unregistered).context("no times")?;
    assert!(own > of_presented, "{own} {of_presented}");
    assert_eq!(usable, of_presented);
    home.put("s-1", &presented, None).await?;
    let registered = about_remote(&home, &presented).send().await?;
    assert_eq!(limit(&registered), Some((own, own, of_presented)));
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_stale_token_gets_nothing_although_the_stored_one_is_still_good() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let old = log_in(&home).await?;
    home.advance(200);
    let new = log_in(&home).await?;
    let made = about_remote(&home, &new).send().await?;
    assert_eq!(made.status, 200);
    home.advance(101);
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        for session in [None, Some("s-unknown")] {
            let ask = about_remote(&home, &old).reason(reason);
            let ask = session.map_or(ask.clone(), |session| ask.session(session));
            let answer = ask.send().await?;
            assert_eq!(answer.refusal(), (400, "token_expired"), "{reason:?} {answer:?}");
        }
    }
    assert_eq!(about_remote(&home, &new).send().await?.token(), made.token());
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn it_is_renewed_ahead_while_the_caller_presents_fresh_tokens() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let first = about_remote(&home, &log_in(&home).await?).send().await?;
    home.advance(190);
    let token = log_in(&home).await?;
    let ask = about_remote(&home, &token).reason(Reason::NearExpiry);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(503, "{}"));
    assert_eq!(ask.send().await?.token(), first.token(), "still good");
    home.advance(5);
    let renewed = ask.send().await?;
    assert_eq!(renewed.status, 200);
    assert_ne!(renewed.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 3);
    Ok(())
}

#[tokio::test]
async fn a_rejected_one_is_dropped_and_made_anew() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let ask = about_remote(&home, &token);
    let first = ask.send().await?;
    home.advance(31);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(503, "{}"));
    let rejected = ask.clone().reason(Reason::Rejected);
    assert_eq!(rejected.send().await?.refusal(), (503, "exchange_unavailable"));
    assert_eq!(
        ask.send().await?.refusal(),
        (503, "exchange_unavailable"),
        "the rejected token is never served again"
    );
    home.advance(31);
    let second = ask.send().await?;
    assert_eq!(second.status, 200);
    assert_ne!(second.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 3);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_deletes_the_token_although_no_login_was_registered() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let first = about_remote(&home, &token).send().await?;
    assert_eq!(first.status, 200);
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    for reason in [Reason::Stale, Reason::NearExpiry] {
        let answer = about_remote(&home, &token).reason(reason).send().await?;
        assert_eq!(answer.refusal(), (400, "unknown_session"), "{reason:?}");
    }
    home.advance(2);
    let second = about_remote(&home, &log_in(&home).await?).send().await?;
    assert_eq!(second.status, 200);
    assert_ne!(second.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

/// The end of a session leaves no count, but the user's earlier tokens must stay closed for as long as they live.
#[tokio::test]
async fn an_earlier_token_stays_closed_after_the_last_session_ended() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    home.dex.set_id_token_lifetime(Duration::from_secs(20 * 3600));
    let token = home.log_in("s-1").await?.id_token;
    home.end("s-1").await?;
    for hours in [0, 2, 16] {
        home.advance(hours * 3600);
        let answer = about_remote(&home, &token).send().await?;
        assert_eq!(
            answer.refusal(),
            (400, "unknown_session"),
            "after {hours} more hours"
        );
    }
    assert_eq!(
        about_remote(&home, &log_in(&home).await?).send().await?.status,
        200
    );
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_during_the_exchange_leaves_nothing_behind() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    remote.hold(Endpoint::Exchange);
    let ask = about_remote(&home, &token);
    let subject = home.dex.subject(ADMIN);
    let (answer, ended) = tokio::join!(ask.send(), async {
        remote.wait_until_held(Endpoint::Exchange, 1).await;
        let ended = home.sign_out(&subject).await;
        remote.release(Endpoint::Exchange);
        ended
    });
    assert_eq!(ended?.status, 200);
    assert_eq!(answer?.refusal(), (400, "unknown_session"));
    home.advance(2);
    assert_eq!(
        about_remote(&home, &log_in(&home).await?).send().await?.status,
        200
    );
    assert_eq!(remote.counts().exchanges_presented, 2, "the first was not stored");
    Ok(())
}

#[tokio::test]
async fn a_registered_login_takes_the_exchange_over() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let first = about_remote(&home, &token).send().await?;
    home.advance(1);
    let login = home.log_in("s-1").await?;
    let registered = about_remote(&home, &login.id_token).session("s-1").send().await?;
    assert_eq!(registered.token(), first.token());
    // From here on a stale token is renewed, as for any login.
    home.advance(301);
    assert_eq!(about_remote(&home, &token).send().await?.status, 200);
    assert_eq!(home.dex.counts().refreshes_presented, 1);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

/// With a live login of the user, a session that is not registered stays unknown, as before.
#[tokio::test]
async fn an_unknown_session_of_a_registered_user_opens_nothing() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let login = home.log_in("s-1").await?;
    let ask = about_remote(&home, &login.id_token).session("s-2");
    assert_eq!(ask.send().await?.refusal(), (400, "unknown_session"));
    assert_eq!(remote.counts().exchanges_presented, 0);
    Ok(())
}

#[tokio::test]
async fn a_remote_token_of_another_user_is_an_alarm_until_a_day_has_passed() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let alarms = || captured.text().matches("ALARM").count();
    let Pair { remote, home } = pair(2, |_| {}).await?;
    let first = about_remote(&home, &log_in(&home).await?).send().await?;
    assert_eq!(first.status, 200);
    home.advance(301);
    let token = log_in(&home).await?;
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    for replica in [0, 1] {
        let answer = about_remote(&home, &token).replica(replica).send().await?;
        assert_eq!(answer.refusal(), (500, "substitution"));
    }
    assert_eq!((remote.counts().exchanges_presented, alarms()), (2, 1));
    home.advance(25 * 3600);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    let renamed = about_remote(&home, &log_in(&home).await?).send().await?;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    assert_eq!(alarms(), 1);
    Ok(())
}

#[tokio::test]
async fn a_remote_user_that_was_renamed_is_accepted_after_a_sign_out() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    assert_eq!(
        about_remote(&home, &log_in(&home).await?).send().await?.status,
        200
    );
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    home.advance(2);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    let renamed = about_remote(&home, &log_in(&home).await?).send().await?;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_not_exchanged() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let mint = |audience| home.dex.mint(ADMIN, audience);
    let cases = [
        (
            mint("muster").signed_by_a_stranger().token(),
            (400, "subject_rejected"),
        ),
        (mint("another").token(), (400, "wrong_audience")),
        (
            mint("muster").claim("azp", "another").token(),
            (400, "wrong_token_type"),
        ),
        (
            remote.mint(ADMIN, "exchanger").signed_by_a_stranger().token(),
            (400, "subject_rejected"),
        ),
        (
            remote.mint(ADMIN, "exchanger").expires_in_seconds(-5).token(),
            (400, "token_expired"),
        ),
    ];
    for (token, refusal) in cases {
        let answer = about_remote(&home, &token).send().await?;
        assert_eq!(answer.refusal(), refusal, "{answer:?}");
    }
    assert_eq!(remote.counts().exchanges_presented, 0);
    Ok(())
}

/// A listener keeps the header that it was opened with, and retries once a second. It is refused without a call to any
/// issuer, with one WARN a minute.
#[tokio::test]
async fn a_listener_with_an_old_header_is_refused_quietly_without_a_call_to_any_issuer() -> anyhow::Result<()>
{
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    assert_eq!(about_remote(&home, &token).send().await?.status, 200);
    let made = remote.counts().exchanges_presented;
    home.advance(301);
    for second in 0..300 {
        for server in ["remote", "kubernetes"] {
            let answer = home.ask(&token).server(server).send().await?;
            assert_eq!(
                answer.refusal(),
                (400, "token_expired"),
                "second {second}: {answer:?}"
            );
        }
        home.advance(1);
    }
    let lines = captured.text();
    let warnings = |server: &str| {
        let of_server = |line: &&str| line.contains("WARN") && line.contains(&format!("server=\"{server}\""));
        lines.lines().filter(of_server).count()
    };
    for server in ["remote", "kubernetes"] {
        assert!(
            (1..=5).contains(&warnings(server)),
            "{server}: {}",
            warnings(server)
        );
    }
    assert_eq!(lines.matches("ERROR").count(), 0, "{lines}");
    assert_eq!(remote.counts().exchanges_presented, made);
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    Ok(())
}

/// The first write of a sign-out ends what was made before it, also if the store fails before it can be deleted.
#[tokio::test]
async fn a_sign_out_that_the_store_interrupts_has_ended_what_was_made_before() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    let first = about_remote(&home, &token).send().await?;
    home.advance(1);
    home.store().set_broken(Some("members"));
    assert_eq!(home.sign_out(&home.dex.subject(ADMIN)).await?.status, 503);
    home.store().set_broken(None);
    let ended = about_remote(&home, &token).send().await?;
    assert_eq!(ended.refusal(), (400, "unknown_session"));
    home.advance(2);
    let later = about_remote(&home, &log_in(&home).await?).send().await?;
    assert_eq!(later.status, 200);
    assert_ne!(later.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn without_the_store_a_fresh_token_is_not_exchanged() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let token = log_in(&home).await?;
    home.store().set_off(true);
    let answer = about_remote(&home, &token).send().await?;
    assert_eq!(answer.refusal(), (503, "store_unavailable"));
    home.store().set_off(false);
    // Without the pin's write nothing is served.
    home.store().set_broken(Some("write"));
    let answer = about_remote(&home, &token).send().await?;
    assert_eq!(answer.refusal(), (503, "store_unavailable"));
    home.store().set_broken(None);
    assert_eq!(about_remote(&home, &token).send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}
