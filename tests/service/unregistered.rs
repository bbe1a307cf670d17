//! Users without a registered login: what their answers state is true. Another login does not help them, a fresh token does.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser, Endpoint, Failure};
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Answer, Deployment, Plan};
use crate::exchange::{Pair, pair};

fn says_log_in_again(answer: &Answer) -> bool {
    answer.text("error_description").contains("log in again")
}

#[tokio::test]
async fn a_stale_token_of_an_unregistered_user_needs_a_fresh_token_and_no_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let token = deployment.dex.log_in(ADMIN, "muster").await?.id_token;
    deployment.advance(301);
    for session in [None, Some("s-unknown")] {
        let ask = deployment.ask(&token);
        let ask = session.map_or(ask.clone(), |session| ask.session(session));
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (400, "token_expired"), "{answer:?}");
        assert_eq!(answer.text("error"), "invalid_grant");
        assert!(answer.text("error_description").contains("present a fresh token"));
        assert!(!says_log_in_again(&answer), "{answer:?}");
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    // It proves itself as any other: a forged one gets no such answer.
    let forged = deployment
        .dex
        .mint(ADMIN, "muster")
        .expires_in_seconds(-5)
        .signed_by_a_stranger();
    let answer = deployment.ask(&forged.token()).send().await?;
    assert_eq!(answer.refusal(), (400, "subject_rejected"));
    Ok(())
}

#[tokio::test]
async fn a_fresh_token_of_an_unregistered_user_is_not_sent_to_a_login_that_brings_nothing()
-> anyhow::Result<()> {
    let Pair { remote: _, home } = pair(1, |_| {}).await?;
    let token = home.dex.log_in(ADMIN, "muster").await?.id_token;
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        let answer = home.ask(&token).reason(reason).send().await?;
        assert_eq!(answer.refusal(), (503, "not_registered"), "{reason:?}");
        assert!(answer.header("retry-after").is_some());
        assert!(!says_log_in_again(&answer), "{answer:?}");
        let description = answer.text("error_description");
        assert!(description.contains("present a newer token"), "{description}");
    }
    // As soon as the aggregator registers the login, it is answered.
    home.put("s-1", &token, None).await?;
    assert_eq!(home.ask(&token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_token_that_only_the_callers_margin_calls_stale_needs_a_fresh_one() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let token = deployment
        .dex
        .mint(ADMIN, "muster")
        .expires_in_seconds(90)
        .token();
    let answer = deployment.ask(&token).send().await?;
    assert_eq!(answer.refusal(), (400, "token_expired"));
    Ok(())
}

#[tokio::test]
async fn a_signed_out_token_needs_a_login_and_a_later_login_that_is_not_registered_does_not()
-> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let before = home.log_in("s-1").await?.id_token;
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    home.advance(5);
    let ask = |token: &str| {
        let token = token.to_owned();
        let home = &home;
        async move { home.ask(&token).server("remote").send().await }
    };
    let answer = ask(&before).await?;
    assert_eq!(answer.refusal(), (400, "unknown_session"));
    assert!(says_log_in_again(&answer));
    let after = home.dex.log_in(ADMIN, "muster").await?.id_token;
    assert_eq!(ask(&after).await?.status, 200);
    let answer = ask(&before).await?;
    assert_eq!(answer.refusal(), (400, "unknown_session"));
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn while_the_issuers_keys_cannot_be_had_a_stale_unregistered_token_waits() -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let deployment = Deployment::start(Plan::default()).await?;
    let token = deployment.dex.log_in(ADMIN, "muster").await?.id_token;
    let until = async |wanted: (u16, &str)| {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = deployment.ask(&token).send().await?;
                if answer.refusal() == wanted {
                    return anyhow::Ok(answer);
                }
                tokio::task::yield_now().await;
            }
        })
        .await?
    };
    deployment.advance(301);
    until((400, "token_expired")).await?;
    // The keys prove the token still; that they cannot be looked for any more shows in the background.
    deployment
        .dex
        .fail_always(Endpoint::Keys, Failure::answer(503, "{}"));
    deployment.advance(601);
    let answer = until((503, "issuer_unavailable")).await?;
    assert!(answer.header("retry-after").is_some());
    deployment.dex.heal(Endpoint::Keys);
    deployment.advance(11);
    until((400, "token_expired")).await?;
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn while_the_issuer_fails_every_login_a_stale_unregistered_token_waits() -> anyhow::Result<()> {
    let user = |number: usize| format!("user-{number}@example.com");
    let mut dex = DexConfig::default().id_token_lifetime(Duration::from_secs(300));
    for number in 0..6 {
        dex = dex.user(DexUser::new(&user(number)));
    }
    let deployment = Deployment::start(Plan {
        dex,
        settings: json!({}),
        ..Plan::default()
    })
    .await?;
    let unregistered = deployment.dex.log_in(ADMIN, "muster").await?.id_token;
    let mut tokens = Vec::new();
    for number in 0..6 {
        let session = format!("s-{number}");
        tokens.push(deployment.log_in_as(&session, &user(number)).await?.id_token);
    }
    deployment.advance(301);
    assert_eq!(
        deployment.ask(&unregistered).send().await?.refusal(),
        (400, "token_expired")
    );
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(503, "{}"));
    for token in &tokens {
        assert_eq!(deployment.ask(token).send().await?.status, 503);
    }
    let answer = deployment.ask(&unregistered).send().await?;
    assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    Ok(())
}
