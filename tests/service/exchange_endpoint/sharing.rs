//! Behind the endpoint is the same exchange as everywhere: one call for all callers, its result stored.

use std::time::Duration;

use tokenward_harness::issuer::{Endpoint, Failure};

use super::{exchanged, exchanged_at, log_in};
use crate::deployment::at_once;
use crate::exchange::{Pair, pair};

#[tokio::test]
async fn many_exchanges_at_three_replicas_and_the_filters_calls_are_one() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(3, |_| {}).await?;
    let token = log_in(&home).await?;
    remote.set_latency(Endpoint::Exchange, Duration::from_millis(200));
    let answers = at_once((0..60).map(|caller| exchanged_at(&home, caller % 3, &token))).await;
    let mut tokens = Vec::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
        tokens.push(answer.token().to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    let filter = home.ask(&token).server("remote").send().await?;
    assert_eq!(filter.token(), tokens[0]);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn the_stored_token_is_served_until_it_is_near_its_expiry_and_while_the_remote_fails()
-> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let first = exchanged(&home, &log_in(&home).await?).await?;
    home.advance(100);
    let token = log_in(&home).await?;
    assert_eq!(exchanged(&home, &token).await?.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 1);
    home.advance(90);
    remote.fail_always(Endpoint::Exchange, Failure::answer(503, "{}"));
    for _ in 0..5 {
        assert_eq!(exchanged(&home, &token).await?.token(), first.token());
    }
    assert_eq!(remote.counts().exchanges_presented, 2, "then the pause");
    remote.heal(Endpoint::Exchange);
    home.advance(20);
    let second = exchanged(&home, &token).await?;
    assert_eq!(second.status, 200);
    assert_ne!(second.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 3);
    Ok(())
}

#[tokio::test]
async fn a_stale_token_of_a_registered_login_is_exchanged_by_its_newest() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let login = home.log_in("s-1").await?;
    home.advance(301);
    let answer = exchanged(&home, &login.id_token).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(home.dex.counts().refreshes_presented, 1);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}
