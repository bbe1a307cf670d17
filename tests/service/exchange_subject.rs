//! The user that a remote issuer's tokens name must not change while a login lasts.

use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;

use crate::exchange::{Pair, pair};
use crate::secrecy::Captured;

const REFUSED: (u16, &str) = (500, "substitution");

fn alarms(captured: &Captured) -> usize {
    captured
        .text()
        .lines()
        .filter(|line| line.contains("ALARM"))
        .count()
}

#[tokio::test]
async fn a_remote_token_of_another_subject_than_the_first_is_refused_with_an_alarm() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let Pair { remote, home } = pair(2, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    let first = ask.send().await?;
    assert_eq!((first.status, alarms(&captured)), (200, 0));
    home.advance(301);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    // Every request within the wait gets the same answer, on every replica, without a call to the remote.
    for replica in [0, 1, 0] {
        let answer = ask.clone().replica(replica).send().await?;
        assert_eq!(answer.refusal(), REFUSED, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!((remote.counts().exchanges_presented, alarms(&captured)), (2, 1));
    // The remote answers for the right user again.
    home.advance(31);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(home.status("s-1").await?.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_still_good_is_served_on_when_its_renewal_names_another_user() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    let first = ask.send().await?;
    home.advance(200);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    let kept = ask.clone().reason(Reason::NearExpiry).send().await?;
    assert_eq!(kept.token(), first.token());
    // One that the server has rejected is not.
    home.advance(31);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    let rejected = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(rejected.refusal(), REFUSED, "{rejected:?}");
    Ok(())
}

#[tokio::test]
async fn another_login_begins_with_the_subject_that_its_first_exchange_brings() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    home.advance(301);
    // The remote has given the user another name for good.
    remote.fail_next(Endpoint::Exchange, 2, &Failure::OtherSubject);
    assert_eq!(ask.send().await?.refusal(), REFUSED);
    home.advance(31);
    let again = home.log_in("s-1").await?;
    let ask = home.ask(&again.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200, "a new login, a new beginning");
    home.advance(301);
    assert_eq!(
        ask.send().await?.refusal(),
        REFUSED,
        "and the old name is another's now"
    );
    Ok(())
}

/// Generations start again where nothing is left of the login before.
#[tokio::test]
async fn a_login_after_the_mark_of_the_last_one_has_expired_begins_again_too() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    home.end("s-1").await?;
    home.advance(25 * 3600);
    let again = home.log_in("s-1").await?;
    assert_eq!(home.status("s-1").await?.body["generation"], 1);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    let ask = home.ask(&again.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn another_way_to_exchange_begins_with_the_subject_that_it_brings() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    let config = home.changed(|document| {
        document["servers"][1]["auth"]["tokenExchange"]["scopes"] = "openid email".into();
    })?;
    let service = home.service(0).service().succeeded_by(config)?;
    home.service(0).replace(service);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::OtherSubject);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn while_the_first_subject_cannot_be_looked_up_nothing_is_served() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    home.advance(250);
    remote.hold(Endpoint::Exchange);
    let (answer, ()) = tokio::join!(ask.send(), async {
        remote.wait_until_held(Endpoint::Exchange, 1).await;
        home.store().set_broken(Some("write"));
        remote.release(Endpoint::Exchange);
    });
    assert_eq!(answer?.refusal(), (503, "store_unavailable"));
    home.store().set_broken(None);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}
