//! An issuer that serves no discovery document, while many callers wait for its endpoints.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::app::key_ring;
use tokenward_control::clock::HandClock;
use tokenward_control::config::IssuerLimits;
use tokenward_control::context::Context;
use tokenward_control::filter_state::SignOutLog;
use tokenward_control::observe::metrics::Metrics;
use tokenward_control::upstream::issuer::client::IssuerClient;
use tokenward_control::upstream::issuer::discovery::{Discovery, DiscoveryFailed};
use tokenward_control::upstream::issuer::keys::IssuerKeys;
use tokenward_control::upstream::issuer::limits::CallLimits;
use tokenward_control::upstream::issuer::pace::Urgency;
use tokenward_control::upstream::issuer::{HomeIssuer, NotPermitted};
use tokenward_harness::issuer::{DexConfig, DexUser, Endpoint, Failure};

use crate::deployment::{Deployment, Plan, at_once};

/// A context of its own, with a clock that the test moves.
pub(super) fn context(deployment: &Deployment, clock: &Arc<HandClock>) -> anyhow::Result<Context> {
    Ok(Context {
        client: IssuerClient::new(Duration::from_secs(20))?,
        store: deployment.store().clone(),
        ring: Arc::new(key_ring(&deployment.changed(|_| ())?.sealing)?),
        clock: clock.clone(),
        metrics: Metrics::default(),
        recorder: tokenward_control::activity::Recorder::default(),
        proven_tokens: Arc::default(),
        sign_outs: SignOutLog::new(
            deployment.store().clone(),
            clock.clone(),
            Duration::from_secs(3600),
        ),
        past_key_grace: Duration::from_secs(3600),
    })
}

#[tokio::test]
async fn all_callers_of_a_discovery_share_its_failure_which_stands_for_a_second() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let dex = &deployment.dex;
    let clock = Arc::new(HandClock::at(1_000_000));
    let context = context(&deployment, &clock)?;
    let discovery = Arc::new(Discovery::new(dex.issuer().to_owned(), None, None));
    dex.fail_always(Endpoint::Discovery, Failure::answer(503, "{}"));
    dex.hold(Endpoint::Discovery);
    let asks = (0..20).map(|_| discovery.token_endpoint(&context));
    let releasing = async {
        dex.wait_until_held(Endpoint::Discovery, 1).await;
        dex.release(Endpoint::Discovery);
    };
    let failure = |is_new| DiscoveryFailed::Unavailable {
        cause: "status 503".to_owned(),
        retry_after: None,
        is_new,
    };
    let (found, ()) = tokio::join!(at_once(asks), releasing);
    assert_eq!(found, vec![Err(failure(true)); 20]);
    assert_eq!(discovery.token_endpoint(&context).await, Err(failure(false)));
    assert_eq!(dex.counts().discovery_fetches, 1);

    dex.heal(Endpoint::Discovery);
    clock.advance(Duration::from_secs(1));
    let found = discovery.token_endpoint(&context).await?;
    assert_eq!(found.as_str(), dex.token_endpoint());
    discovery.token_endpoint(&context).await?;
    assert_eq!(dex.counts().discovery_fetches, 2);
    Ok(())
}

#[tokio::test]
async fn an_issuers_retry_after_is_honoured_up_to_a_minute() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let dex = &deployment.dex;
    let clock = Arc::new(HandClock::at(1_000_000));
    let context = context(&deployment, &clock)?;
    let discovery = Arc::new(Discovery::new(dex.issuer().to_owned(), None, None));
    let retry_after = |found: Result<_, DiscoveryFailed>| match found {
        Err(DiscoveryFailed::Unavailable { retry_after, .. }) => retry_after.map(|left| left.as_secs()),
        _ => None,
    };
    // An issuer's `Retry-After` counts as five minutes at the most, and as one minute here.
    for (asked_seconds, told_seconds, stands_seconds) in [(20, 20, 20), (3600, 300, 60)] {
        dex.fail_next(Endpoint::Discovery, 1, &Failure::too_many_requests(asked_seconds));
        let before = dex.counts().discovery_fetches;
        assert_eq!(
            retry_after(discovery.token_endpoint(&context).await),
            Some(told_seconds)
        );
        clock.advance(Duration::from_secs(stands_seconds - 1));
        assert_eq!(retry_after(discovery.token_endpoint(&context).await), Some(1));
        assert_eq!(dex.counts().discovery_fetches, before + 1);
        clock.advance(Duration::from_secs(1));
    }
    discovery.token_endpoint(&context).await?;
    Ok(())
}

#[tokio::test]
async fn logins_that_need_an_endpoint_that_cannot_be_found_cost_one_fetch_together() -> anyhow::Result<()> {
    let emails: Vec<String> = (0..6)
        .map(|number| format!("user-{number}@example.com"))
        .collect();
    let dex = emails
        .iter()
        .fold(DexConfig::default(), |dex, email| dex.user(DexUser::new(email)));
    let mut deployment = Deployment::start(Plan {
        dex: dex.id_token_lifetime(Duration::from_secs(300)),
        ..Plan::default()
    })
    .await?;
    let mut logins = Vec::new();
    for email in &emails {
        logins.push(deployment.log_in_as(email, email).await?);
    }
    // It remembers the keys, and has to find the token endpoint.
    let restarted = deployment.add_replica().await?;
    deployment.advance(301);
    let before = deployment.dex.counts().discovery_fetches;
    deployment
        .dex
        .fail_always(Endpoint::Discovery, Failure::answer(503, "{}"));
    let asks = logins.iter().map(|login| {
        let ask = deployment.ask(&login.id_token).replica(restarted);
        async move { ask.send().await }
    });
    for answer in at_once(asks).await {
        let answer = answer?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"));
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    }
    assert_eq!(deployment.dex.counts().discovery_fetches, before + 1);

    deployment.dex.heal(Endpoint::Discovery);
    deployment.advance(61);
    let answer = deployment
        .ask(&logins[0].id_token)
        .replica(restarted)
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(deployment.dex.counts().discovery_fetches, before + 2);
    Ok(())
}

#[tokio::test]
async fn a_fetch_that_failed_for_many_logins_is_held_against_the_issuer_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let dex = &deployment.dex;
    let clock = Arc::new(HandClock::at(1_000_000));
    let context = context(&deployment, &clock)?;
    let issuer = dex.issuer().to_owned();
    let discovery = Arc::new(Discovery::new(issuer.clone(), None, None));
    let keys = IssuerKeys::new(issuer.clone(), Arc::clone(&discovery), context.clone());
    let limits = IssuerLimits::default();
    let wait = Duration::from_secs(3);
    let traffic = CallLimits::new(issuer, limits, wait, clock.clone(), Metrics::default());
    let config = deployment.changed(|_| ())?.issuers[0].clone();
    let home = HomeIssuer::new(config, discovery, Arc::new(keys), Arc::new(traffic));
    let grants: Vec<String> = (0..20).map(|number| format!("{number:016x}")).collect();
    let fails = |grant: String| {
        let (home, context) = (&home, &context);
        async move {
            matches!(
                home.permit(context, &grant, Urgency::Waiting).await,
                Err(NotPermitted::Transient(_))
            )
        }
    };
    let before = dex.counts().discovery_fetches;
    dex.fail_always(Endpoint::Discovery, Failure::answer(503, "{}"));
    dex.hold(Endpoint::Discovery);
    let releasing = async {
        dex.wait_until_held(Endpoint::Discovery, 1).await;
        dex.release(Endpoint::Discovery);
    };
    let (failed, ()) = tokio::join!(at_once(grants.iter().cloned().map(fails)), releasing);
    assert_eq!(failed, [true; 20]);
    assert_eq!(dex.counts().discovery_fetches, before + 1);
    assert_eq!(home.circuit_open(), None);
    // Of five different logins each of which had a fetch of its own fail, the fifth opens the circuit.
    for fetches in 2..=5 {
        clock.advance(Duration::from_secs(1));
        assert!(fails(format!("{:016x}", fetches * 100)).await);
        assert_eq!(dex.counts().discovery_fetches, before + fetches);
        assert_eq!(home.circuit_open().is_some(), fetches == 5, "{fetches}");
    }
    // The probe's failure counts too: no other call passes after it.
    clock.advance(Duration::from_secs(6));
    assert!(fails("f".repeat(16)).await);
    assert!(home.circuit_open().is_some());
    assert_eq!(dex.counts().discovery_fetches, before + 6);
    Ok(())
}
