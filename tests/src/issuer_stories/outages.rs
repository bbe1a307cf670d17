//! What a user sees of outages: control or the store down.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::issuer::{Issuer, IssuerCounts};
use tokenward_harness::world::{ALICE, LOCAL, Login, World, WorldBuilder};

use super::{MARGIN, TOKENS_LIVE, answer, short_lived, until_served};

/// How often a token may have come near its end since `then` and been renewed: 0 unless the machine stalls.
pub fn ends_since(then: Instant) -> usize {
    let soonest = TOKENS_LIVE / 2 - MARGIN;
    usize::try_from(then.elapsed().as_millis() / soonest.as_millis()).unwrap_or(usize::MAX)
}

/// The refused user is served again, by one refresh whose answer was not lost, in the same login.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn ensure_over<I: Issuer>(
    world: &World<I>,
    login: &Login,
    before: IssuerCounts,
    healed: Instant,
) -> anyhow::Result<()> {
    until_served(world, LOCAL, login).await?;
    let counts = world.home.counts();
    let refreshes = counts.refreshes_succeeded - before.refreshes_succeeded;
    assert!(
        (1..=1 + ends_since(healed)).contains(&refreshes),
        "{refreshes} refreshes"
    );
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
    assert_eq!(counts.logins, 1, "no user logged in again");
    assert_eq!(world.session(login).await?["state"], "active");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// Control is gone: 503, and back by itself.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn control_is_gone<I: Issuer>(world: &mut World<I>) -> anyhow::Result<()> {
    let alice = world.log_in(ALICE).await?;
    world.wait_until_tokens_expired().await;
    world.control.kill()?;
    let before = world.home.counts();
    let refused = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(
        (refused.status, refused.refusal().as_deref()),
        (503, Some("control_unreachable"))
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(world.upstream_requests(), 0);
    let healed = Instant::now();
    world.control.restart().await?;
    ensure_over(world, &alice, before, healed).await
}

/// The world of [`control_hangs`].
pub fn of_a_hanging_control() -> WorldBuilder {
    let control = json!({
        "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": "2s",
    });
    short_lived().filter_setting("control", control)
}

/// Control hangs: 503 within the filter's deadline.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn control_hangs<I: Issuer>(world: &mut World<I>) -> anyhow::Result<()> {
    let alice = world.log_in(ALICE).await?;
    world.wait_until_tokens_expired().await;
    let before = world.home.counts();
    world.control.process()?.pause()?;
    let begun = Instant::now();
    let answers = world.call(LOCAL).login(&alice).send_many(20).await?;
    let waited = begun.elapsed();
    let healed = Instant::now();
    world.control.process()?.resume()?;
    for refused in &answers {
        assert_eq!(
            (refused.status, refused.refusal().as_deref()),
            (503, Some("control_late"))
        );
    }
    assert!(
        waited < Duration::from_secs(30),
        "{waited:?} on a slow machine; 2 s on any other"
    );
    assert_eq!(world.upstream_requests(), 0);
    ensure_over(world, &alice, before, healed).await
}

/// The store is gone: 503, and no user is signed out. The world is on Valkey.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn store_is_gone<I: Issuer>(world: &mut World<I>) -> anyhow::Result<()> {
    let alice = world.log_in(ALICE).await?;
    world.wait_until_tokens_expired().await;
    let before = world.home.counts();
    world.valkey.as_mut().expect("a Valkey").pause()?;
    for server in world.server_names() {
        let refused = answer(world, &server, &alice).await?;
        assert_eq!(refused, (503, Some("store_unavailable".to_owned())), "{server}");
    }
    assert_eq!(world.upstream_requests(), 0);
    let presented = world.home.counts().refreshes_presented;
    assert_eq!(
        presented, before.refreshes_presented,
        "the issuer gets no request"
    );
    let healed = Instant::now();
    world.valkey.as_mut().expect("a Valkey").resume()?;
    for server in world.server_names() {
        until_served(world, &server, &alice).await?;
    }
    ensure_over(world, &alice, before, healed).await
}
