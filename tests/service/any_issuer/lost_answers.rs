//! A refresh whose outcome is not known: the answer was lost on the way, the request never arrived, or the replica died.

use tokenward_harness::cloud_issuers::CloudProduct;
use tokenward_harness::issuer::{Endpoint, Failure};

use super::stage::{PATIENCE, Stage, Variant};

at_each_issuer!(
    an_answer_that_was_lost_costs_a_login_only_where_the_token_may_not_come_twice,
    a_request_that_never_arrived_costs_a_login_only_where_the_issuer_cannot_be_asked,
    a_replica_that_dies_in_a_refresh_presents_nothing_twice_where_that_may_end_the_login,
);

fn introspections(variant: Variant) -> usize {
    usize::from(variant.product == CloudProduct::Okta && !variant.is_tolerant())
}

async fn an_answer_that_was_lost_costs_a_login_only_where_the_token_may_not_come_twice(
    variant: Variant,
) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    stage.expire();
    stage
        .issuer
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseAfterCommit);
    let answer = stage.settled(&stage.ask("s-1", &login.id_token)).await?;
    if variant.is_tolerant() {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(stage.refreshes(), (2, 2, 1));
    } else {
        // By introspection, where there is one, the token is used up.
        assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
        assert_eq!(stage.refreshes(), (1, 1, 0));
    }
    assert_eq!(stage.issuer.counts().introspections, introspections(variant));
    Ok(())
}

async fn a_request_that_never_arrived_costs_a_login_only_where_the_issuer_cannot_be_asked(
    variant: Variant,
) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    stage.expire();
    stage
        .issuer
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    let answer = stage.settled(&stage.ask("s-1", &login.id_token)).await?;
    // Auth0 has no introspection.
    if variant.is_tolerant() || variant.product == CloudProduct::Okta {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(stage.refreshes(), (2, 1, 1));
    } else {
        assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
        assert_eq!(stage.refreshes(), (1, 0, 0));
    }
    Ok(())
}

async fn a_replica_that_dies_in_a_refresh_presents_nothing_twice_where_that_may_end_the_login(
    variant: Variant,
) -> anyhow::Result<()> {
    let mut stage = Stage::set(variant).await?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let doomed = stage.control.add_replica_on(runtime.handle()).await?;
    let login = stage.log_in("s-1").await?;
    stage.expire();
    stage.issuer.hold(Endpoint::Refresh);
    let ask = stage.ask("s-1", &login.id_token);
    let call = ask.clone().replica(doomed);
    let (answer, held) = tokio::join!(call.send(), async {
        let held = stage.issuer.wait_until_held(Endpoint::Refresh, 1).await;
        runtime.shutdown_background();
        held
    });
    held?;
    assert!(answer.is_err(), "the replica is gone: {answer:?}");
    stage.issuer.release(Endpoint::Refresh);
    stage
        .issuer
        .wait_for_counts(|counts| counts.refreshes_succeeded == 1, PATIENCE)
        .await?;
    // The dead replica's lease, and no more: an overlap of a minute is not over.
    stage.control.advance(16);
    let answer = stage.settled(&ask).await?;
    if variant.is_tolerant() {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(stage.refreshes(), (2, 2, 1));
    } else {
        assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
        assert_eq!(stage.refreshes(), (1, 1, 0));
    }
    Ok(())
}
