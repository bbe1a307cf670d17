//! A sign-out at the console reaches filters.

use tokenward_protocol::filter_state::EndedDigest;

use super::stage::Stage;
use crate::deployment::ADMIN;
use crate::filter_state::{Follower, now, sorted};

#[tokio::test]
async fn an_operators_sign_outs_reach_filters() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let deployment = &stage.deployment;
    for session in ["one", "two"] {
        deployment.log_in(session).await?;
    }
    let tab = stage.operator().await?;
    let mut filter = Follower::of(deployment).await?;
    let page = tab.open("/console/sessions").await?;
    let found = tab.submit(&page, "/console/search", &[("term", "one")]).await?;
    let path = format!("{}/sign-out", found.location());
    let confirm = tab.open(&path).await?;
    assert_eq!(filter.learns(deployment).await?, []);
    assert_eq!(tab.submit(&confirm, &path, &[]).await?.status, 200);
    let seconds = now(deployment);
    assert_eq!(
        filter.learns(deployment).await?,
        [(EndedDigest::session("one"), seconds)]
    );

    let user = tab.open("/console/users").await?.links("/console/users/")[0].clone();
    let path = format!("{user}/sign-out");
    let confirm = tab.open(&path).await?;
    assert_eq!(tab.submit(&confirm, &path, &[]).await?.status, 200);
    let seconds = now(deployment);
    let subject = deployment.dex.subject(ADMIN);
    let all = [
        (EndedDigest::user(deployment.dex.issuer(), &subject), seconds),
        (EndedDigest::session("two"), seconds),
    ];
    assert_eq!(filter.learns(deployment).await?, sorted(all));
    Ok(())
}
