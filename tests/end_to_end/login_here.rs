//! A client without an aggregator: it logs in at control's own authorization server, calls, idles, refreshes and is sent
//! back to the login when that is over. On fake issuers and on real Dex.

use tokenward_tests::issuer_stories::{calls_idles_and_refreshes, is_sent_back_to_the_login, of_logins_here};

use crate::real_dex_stories;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_fake_issuers_user_calls_idles_and_refreshes() -> anyhow::Result<()> {
    calls_idles_and_refreshes(&of_logins_here().workers(4).start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_fake_issuer_ends_sends_the_client_back_to_the_login() -> anyhow::Result<()> {
    is_sent_back_to_the_login(&of_logins_here().start().await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_real_dex_user_calls_idles_and_refreshes() -> anyhow::Result<()> {
    match real_dex_stories::start("a client that logs in here", of_logins_here()).await? {
        Some(world) => calls_idles_and_refreshes(&world).await,
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_a_real_dex_ends_sends_the_client_back_to_the_login() -> anyhow::Result<()> {
    match real_dex_stories::start("a login here that ends", of_logins_here()).await? {
        Some(world) => is_sent_back_to_the_login(&world).await,
        None => Ok(()),
    }
}
