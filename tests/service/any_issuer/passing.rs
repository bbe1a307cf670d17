//! Answers that say nothing about the login: it stays.

use tokenward_harness::issuer::Endpoint;

use super::stage::{Stage, Variant};

at_each_issuer!(
    an_issuer_that_throttles_or_fails_for_a_while_costs_no_login,
    a_client_secret_that_has_expired_is_a_fault_of_the_configuration_and_ends_no_login,
);

async fn an_issuer_that_throttles_or_fails_for_a_while_costs_no_login(
    variant: Variant,
) -> anyhow::Result<()> {
    for failure in variant.product.passing_failures() {
        let stage = Stage::set(variant).await?;
        let login = stage.log_in("s-1").await?;
        stage.expire();
        stage.issuer.fail_next(Endpoint::Refresh, 1, &failure);
        let ask = stage.ask("s-1", &login.id_token);
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{failure:?}");
        assert!(answer.retry_after().is_some(), "{failure:?}");
        assert_eq!(stage.issuer.counts().refreshes_presented, 1, "{failure:?}");
        // Where it is not known whether the refresh was done, the issuer is called for that before.
        stage.pause();
        let answer = stage.settled(&ask).await?;
        assert_eq!(answer.status, 200, "{failure:?}: {answer:?}");
        assert_eq!(stage.refreshes(), (2, 1, 1), "{failure:?}");
        assert_eq!(stage.state("s-1").await?, "active", "{failure:?}");
    }
    Ok(())
}

async fn a_client_secret_that_has_expired_is_a_fault_of_the_configuration_and_ends_no_login(
    variant: Variant,
) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    stage.issuer.set_secret("muster", "another-secret");
    stage.expire();
    let ask = stage.ask("s-1", &login.id_token);
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{answer:?}");
    assert_eq!(stage.state("s-1").await?, "active");
    assert_eq!(stage.issuer.logins_alive(), 1);
    stage.issuer.set_secret("muster", "s3cret");
    stage.pause();
    let answer = stage.settled(&ask).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stage.issuer.counts().refreshes_succeeded, 1);
    Ok(())
}
