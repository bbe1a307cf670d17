//! The end of a login at our authorization server reaches filters, and ends its access tokens for good.

use tokenward_protocol::filter_state::{ALWAYS, EndedDigest};

use super::client::log_in;
use super::refresh::logged_in;
use crate::deployment::ADMIN;
use crate::filter_state::Follower;

#[tokio::test]
async fn a_revocation_a_code_used_twice_and_a_refresh_token_used_again_end_a_login_at_filters()
-> anyhow::Result<()> {
    let (deployment, client, revoked) = logged_in(1).await?;
    let service = deployment.service(0).service();
    let ended = |session: &str| vec![(EndedDigest::session(session), ALWAYS)];
    let mut filter = Follower::of(&deployment).await?;

    let token = client.redeem(0, &revoked.code).await?.refresh_token()?;
    let token = client.refresh(0, &token).await?.refresh_token()?;
    assert_eq!(filter.learns(&deployment).await?, [], "tokens");
    assert_eq!(client.revoke(&token).await?.status, 200);
    assert_eq!(
        filter.learns(&deployment).await?,
        ended(&revoked.session),
        "revocation"
    );
    assert_eq!(client.revoke(&token).await?.status, 200);
    assert_eq!(filter.learns(&deployment).await?, [], "revocation again");

    let twice = log_in(&deployment, &service, ADMIN).await?;
    client.redeem(0, &twice.code).await?.refresh_token()?;
    deployment.advance(300);
    assert_eq!(client.redeem(0, &twice.code).await?.status, 400);
    assert_eq!(filter.learns(&deployment).await?, ended(&twice.session), "code");

    let reused = log_in(&deployment, &service, ADMIN).await?;
    let first = client.redeem(0, &reused.code).await?.refresh_token()?;
    let mut token = first.clone();
    for _ in 0..2 {
        deployment.advance(301);
        token = client.refresh(0, &token).await?.refresh_token()?;
    }
    assert_eq!(filter.learns(&deployment).await?, [], "rotations");
    deployment.advance(301);
    assert_eq!(client.refresh(0, &first).await?.status, 400);
    assert_eq!(filter.learns(&deployment).await?, ended(&reused.session), "reuse");
    assert_eq!(client.refresh(0, &token).await?.status, 400);
    Ok(())
}
