//! Renewal: while no client is there, once for all callers, and through the issuer's changes of keys.

use super::stage::{Stage, Variant};
use crate::deployment::at_once;

at_each_issuer!(
    an_idle_login_is_renewed_again_and_again,
    fifty_callers_bring_one_refresh,
    a_login_that_is_used_every_five_days_outlives_every_idle_lifetime,
    a_change_of_keys_costs_one_fetch_and_no_login,
);

async fn an_idle_login_is_renewed_again_and_again(variant: Variant) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let mut presented = stage.log_in("s-1").await?.id_token;
    for _ in 0..5 {
        stage.expire();
        presented = stage.renewed("s-1", &presented).await?;
    }
    // Where the issuer gives no other refresh token, there is only the one to present.
    let again = if variant.rotates() { 0 } else { 4 };
    assert_eq!(stage.refreshes(), (5, 5, again));
    assert_eq!(stage.issuer.logins_alive(), 1);
    assert_eq!(stage.state("s-1").await?, "active");
    Ok(())
}

async fn fifty_callers_bring_one_refresh(variant: Variant) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    stage.expire();
    let ask = stage.ask("s-1", &login.id_token);
    let answers = at_once((0..50).map(|_| ask.send())).await;
    let mut served = Vec::new();
    for answer in answers {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
        served.push(answer.token().to_owned());
    }
    served.dedup();
    assert_eq!(served.len(), 1, "one token for all");
    assert_eq!(stage.refreshes(), (1, 1, 0));
    Ok(())
}

/// Okta ends a refresh token after seven days without use, Auth0 after fifteen.
async fn a_login_that_is_used_every_five_days_outlives_every_idle_lifetime(
    variant: Variant,
) -> anyhow::Result<()> {
    const FIVE_DAYS_SECONDS: u64 = 5 * 24 * 3600;
    let stage = Stage::set(variant).await?;
    let mut presented = stage.log_in("s-1").await?.id_token;
    for _ in 0..5 {
        stage.control.advance(FIVE_DAYS_SECONDS);
        presented = stage.renewed("s-1", &presented).await?;
    }
    assert_eq!(stage.issuer.counts().refreshes_succeeded, 5);
    assert_eq!(stage.issuer.counts().logins, 1);
    Ok(())
}

async fn a_change_of_keys_costs_one_fetch_and_no_login(variant: Variant) -> anyhow::Result<()> {
    let stage = Stage::set(variant).await?;
    let login = stage.log_in("s-1").await?;
    let before = stage.issuer.counts().key_fetches;
    stage.issuer.rotate_keys();
    stage.expire();
    let presented = stage.renewed("s-1", &login.id_token).await?;
    assert_eq!(stage.issuer.counts().key_fetches, before + 1);
    stage.issuer.forget_previous_keys();
    stage.expire();
    stage.renewed("s-1", &presented).await?;
    assert_eq!(stage.issuer.counts().refreshes_succeeded, 2);
    Ok(())
}
