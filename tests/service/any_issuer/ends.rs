//! The end of a login at the issuer, in the issuer's own words: a login is needed, and the issuer is called once.

use std::time::Duration;

use tokenward_harness::cloud_issuers::UserState;

use super::stage::{Stage, USER, Variant};

at_each_issuer!(
    a_login_that_an_administrator_has_ended_needs_another_and_the_issuer_is_called_once,
    a_user_who_may_not_go_on_must_log_in_and_the_issuer_is_called_once,
    a_login_that_was_idle_for_too_long_needs_another,
    one_login_of_two_that_has_ended_leaves_the_other,
);

/// Three calls with a stale token, some time apart: each is answered that a login is needed, after one call to the issuer.
async fn needs_a_login_after_one_call(stage: &Stage, session: &str, token: &str) -> anyhow::Result<()> {
    let before = stage.issuer.counts().refreshes_presented;
    for _ in 0..3 {
        let answer = stage.ask(session, token).send().await?;
        assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
        stage.pause();
    }
    assert_eq!(stage.issuer.counts().refreshes_presented, before + 1);
    assert_eq!(stage.state(session).await?, "needs_login");
    Ok(())
}

async fn a_login_that_an_administrator_has_ended_needs_another_and_the_issuer_is_called_once(
    variant: Variant,
) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    assert_eq!(stage.issuer.end_logins(USER), 1);
    stage.expire();
    needs_a_login_after_one_call(&stage, "s-1", &login.id_token).await?;
    let again = stage.log_in("s-1").await?;
    stage.expire();
    stage.renewed("s-1", &again.id_token).await?;
    Ok(())
}

async fn a_user_who_may_not_go_on_must_log_in_and_the_issuer_is_called_once(
    variant: Variant,
) -> anyhow::Result<()> {
    for state in [
        UserState::Disabled,
        UserState::MustInteract,
        UserState::ConsentWithdrawn,
    ] {
        let stage = Stage::set(variant).await?;
        let login = stage.log_in("s-1").await?;
        stage.issuer.set_user(USER, state);
        stage.expire();
        needs_a_login_after_one_call(&stage, "s-1", &login.id_token).await?;
        stage.issuer.set_user(USER, UserState::Active);
        let again = stage.log_in("s-1").await?;
        stage.expire();
        stage.renewed("s-1", &again.id_token).await?;
    }
    Ok(())
}

async fn a_login_that_was_idle_for_too_long_needs_another(variant: Variant) -> anyhow::Result<()> {
    let two_days = Duration::from_secs(2 * 24 * 3600);
    let stage = Stage::with(variant, |config| config.idle_lifetime = two_days, |_, _| {}).await?;
    let login = stage.log_in("s-1").await?;
    stage.control.advance(two_days.as_secs() + 1);
    needs_a_login_after_one_call(&stage, "s-1", &login.id_token).await
}

async fn one_login_of_two_that_has_ended_leaves_the_other(variant: Variant) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let laptop = stage.log_in("laptop").await?;
    let phone = stage.log_in("phone").await?;
    assert!(stage.issuer.end_login(&laptop.refresh_token));
    stage.expire();
    needs_a_login_after_one_call(&stage, "laptop", &laptop.id_token).await?;
    stage.renewed("phone", &phone.id_token).await?;
    assert_eq!(stage.issuer.counts().refreshes_presented, 2);
    Ok(())
}
