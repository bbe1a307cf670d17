//! Stories of the whole path that are played on every real issuer, as on Dex and on Keycloak: what comes near its end, what is
//! malformed, outages, and the login at control's own authorization server.
//!
//! Each takes a world of [`short_lived`] tokens unless it states another one, and plays at the servers that the world has.

mod login_here;
mod outages;
mod tokens;

use std::time::{Duration, Instant};

use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::{Login, World, WorldBuilder};

pub use login_here::{calls_idles_and_refreshes, is_sent_back_to_the_login, of_logins_here};
pub use outages::{
    control_hangs, control_is_gone, ends_since, ensure_over, of_a_hanging_control, store_is_gone,
};
pub use tokens::{
    changed_tokens_reach_no_server, is_fetched_ahead, of_rejected_tokens, of_tokens_near_their_end,
    rejected_token_is_replaced_once,
};

/// The life of tokens in [`short_lived`] worlds.
pub const TOKENS_LIVE: Duration = Duration::from_secs(12);
/// Their margin.
pub const MARGIN: Duration = Duration::from_secs(3);
/// The longest that a story waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A world whose tokens are valid for some seconds.
pub fn short_lived() -> WorldBuilder {
    World::builder().short_lived(TOKENS_LIVE, MARGIN)
}

/// The status and the refusal's name.
///
/// # Errors
/// When there is no answer.
pub async fn answer<I: Issuer>(
    world: &World<I>,
    server: &str,
    login: &Login,
) -> anyhow::Result<(u16, Option<String>)> {
    let answer = world.call(server).login(login).send().await?;
    Ok((answer.status, answer.refusal()))
}

/// Calls as a client that honours 503 does, until it is served.
///
/// # Errors
/// When it is refused otherwise, or not served within [`PATIENCE`].
pub async fn until_served<I: Issuer>(world: &World<I>, server: &str, login: &Login) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let (status, refusal) = answer(world, server, login).await?;
        if status == 200 {
            return Ok(());
        }
        anyhow::ensure!(
            status == 503 && Instant::now() < limit,
            "{server}: {status} {refusal:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
