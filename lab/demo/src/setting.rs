//! The world of the demo, and how long things take in it.

use std::time::Duration;

use serde_json::json;

use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::{Store, World, WorldBuilder};

use super::Screen;

/// The user of the issuer's outage.
pub(super) const CAROL: &str = "carol@example.com";
/// The user of the client that logs in by itself.
pub(super) const DANA: &str = "dana@example.com";
/// The user of the two hundred parallel calls.
pub(super) const BOB: &str = "bob@example.com";
/// The one exchange server.
pub(super) const REMOTE: &str = "remote-1";
/// Envoy's workers.
pub(super) const WORKERS: usize = 4;

/// Tokens live this long: real time, short enough to watch.
const TOKENS_LIVE: Duration = Duration::from_secs(15);
const ACCESS_TOKENS_LIVE: &str = "15s";
const MARGIN: &str = "3s";
const REFRESH_AHEAD: &str = "5s";

/// How often a live line is redrawn and a condition outside of this process is looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long the gateway's log may lag behind its answers.
pub(super) const LOG_LAG: Duration = Duration::from_secs(5);

/// What the demo needs of a world. Each server is a protected resource (RFC 9728) of an authorization server: the document
/// that a 401 names is served, and any MCP client can log in.
pub fn stage() -> WorldBuilder {
    World::builder()
        .workers(WORKERS)
        .remotes(1)
        .store(Store::Embedded)
        .user(CAROL)
        .user(DANA)
        .tokens_live(TOKENS_LIVE, TOKENS_LIVE)
        .filter_setting("margin", MARGIN)
        .filter_setting("refresh_ahead", REFRESH_AHEAD)
        .filter_setting("gate", json!({"login_first": "2s"}))
        .control_setting("margin", MARGIN)
        .authorization()
        .authorization_setting("access_token_lifetime", ACCESS_TOKENS_LIVE)
}

/// Starts both issuers, both servers, control and Envoy, and prints their addresses.
///
/// # Errors
/// When a part is missing on this machine or does not start.
pub async fn start<I: Issuer>(screen: &Screen) -> anyhow::Result<World<I>> {
    screen.title(
        "Tokenward: a stale ID token never leaves the gateway",
        "Real Envoy, real control service, real time. ID tokens live 15 s here.",
    );
    let starting = Box::pin(stage().start_on::<I>());
    let world = awaited(
        screen,
        "starting two issuers, two MCP servers, control and Envoy",
        starting,
    )
    .await?;
    screen.fact("home issuer", &format!("{}  ({})", world.home.issuer(), I::KIND));
    screen.fact(
        "remote issuer",
        &format!("{}  ({})", world.remote.issuer(), I::KIND),
    );
    screen.fact("control", &format!("{}  (embedded store)", world.control.url()));
    screen.fact(
        "gateway",
        &format!("{}  (Envoy, {WORKERS} workers)", world.envoy.url()),
    );
    screen.fact("server local", "gets the user's own ID token, forwarded");
    screen.fact("server remote-1", "gets a token exchanged at the remote issuer");
    Ok(world)
}

/// Awaits `work`, with a live line.
async fn awaited<T>(screen: &Screen, what: &str, work: impl Future<Output = T>) -> T {
    const FRAMES: [char; 8] = ['⣷', '⣯', '⣟', '⡿', '⢿', '⣻', '⣽', '⣾'];
    let mut ticks = tokio::time::interval(LOOK_AGAIN);
    let mut frames = FRAMES.iter().cycle();
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = ticks.tick() => screen.live(&format!("{} {what}", frames.next().unwrap_or(&' '))),
        }
    };
    screen.clear_live();
    done
}
