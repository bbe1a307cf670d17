//! The rest of the end-to-end stories on two real Dex: what comes near its end, what is malformed, restarts, outages and
//! storms. Left out, with a line that says so, where Dex is not built.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenward_harness::issuer::{Issuer as _, fingerprint};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, Store, World, WorldBuilder};
use tokenward_protocol::jwt::Claims;

const BOB: &str = "bob@example.com";
pub(crate) const TOKENS_LIVE: Duration = Duration::from_secs(12);
pub(crate) const MARGIN: Duration = Duration::from_secs(3);
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// With four workers in Envoy.
pub(crate) async fn start(story: &str, world: WorldBuilder) -> anyhow::Result<Option<World<RealDex>>> {
    start_as_built(story, world.workers(4)).await
}

pub(crate) async fn start_as_built(
    story: &str,
    world: WorldBuilder,
) -> anyhow::Result<Option<World<RealDex>>> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", tools::DEX_IS_MISSING);
        return Ok(None);
    }
    world.start_on().await.map(Some)
}

pub(crate) fn short_lived() -> WorldBuilder {
    World::builder().short_lived(TOKENS_LIVE, MARGIN)
}

/// The status and the refusal's name.
pub(crate) async fn answer(
    world: &World<RealDex>,
    server: &str,
    login: &Login,
) -> anyhow::Result<(u16, Option<String>)> {
    let answer = world.call(server).login(login).send().await?;
    Ok((answer.status, answer.refusal()))
}

/// Calls as a client that honours 503 does, until it is served.
pub(crate) async fn until_served(world: &World<RealDex>, server: &str, login: &Login) -> anyhow::Result<()> {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_real_dex_near_its_end_is_forwarded_and_the_next_one_fetched_ahead() -> anyhow::Result<()>
{
    let life = Duration::from_secs(60);
    // For the filter it is near its end from the first second on, for control after the first half of its use.
    let world = World::builder()
        .short_lived(life, Duration::from_secs(10))
        .filter_setting("refresh_ahead", "59s");
    let Some(world) = start("near its end", world).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    let begun = Instant::now();
    while world.home.counts().refreshes_succeeded == 0 {
        assert_eq!(answer(&world, LOCAL, &alice).await?, (200, None));
        assert!(begun.elapsed() < life, "nothing was fetched ahead");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(LOCAL).seen();
    let fresh = seen.iter().filter(|token| token.fingerprint == presented);
    assert_eq!(fresh.count(), seen.len(), "good until its margin, so untouched");
    let own = i64::try_from(Claims::read(alice.tokens.id_token.as_bytes())?.exp_seconds)?;
    while world.session(&alice).await?["id_token_expires_at"].as_i64() <= Some(own) {
        assert!(begun.elapsed() < PATIENCE, "control does not keep the next one");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((world.rejected_expired(), world.tally().warnings), (0, 0));
    Ok(())
}

/// Tokens that a real Dex signed and somebody changed: without an end, with another one, for another user.
#[tokio::test(flavor = "multi_thread")]
async fn changed_and_malformed_tokens_of_a_real_dex_reach_nobody() -> anyhow::Result<()> {
    let Some(world) = start("malformed tokens", World::builder()).await? else {
        return Ok(());
    };
    let mut alice = world.log_in(ALICE).await?;
    let good = alice.tokens.id_token.clone();
    for exp in [json!(null), json!(0), json!("never"), json!(1.5e9)] {
        alice.tokens.id_token = with_exp(&good, exp)?;
        assert!(world.register(&alice).await.is_err());
        assert_eq!(answer(&world, LOCAL, &alice).await?.0, 401);
    }
    for bearer in ["garbage", "a.b", &format!("{good}.{good}")] {
        let refused = world.call(LOCAL).bearer(bearer).send().await?;
        assert_eq!(
            (refused.status, refused.refusal().as_deref()),
            (401, Some("malformed_bearer"))
        );
    }
    let two = world.call(LOCAL).bearer(&good).bearer(&good).send().await?;
    assert_eq!(two.refusal().as_deref(), Some("ambiguous_bearer"));
    assert_eq!(world.upstream_requests(), 0);
    // Without a session header the token's subject is the session: an unmodified aggregator.
    assert_eq!(world.call("remote-1").bearer(&good).send().await?.status, 200);
    assert_eq!(world.home.counts().refreshes_presented, 0);
    Ok(())
}

/// The same token, signature and all, with another `exp`.
fn with_exp(token: &str, exp: Value) -> anyhow::Result<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let parts: Vec<_> = token.split('.').collect();
    let [head, claims, signature] = parts[..] else {
        anyhow::bail!("no JWT")
    };
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    claims["exp"] = exp;
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?);
    Ok(format!("{head}.{claims}.{signature}"))
}

/// The pods restart with stale sessions in Valkey; then the store, then control is away.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_real_dex_survive_a_restart_and_outages() -> anyhow::Result<()> {
    let world = short_lived().store(Store::Valkey).remotes(3);
    let Some(mut world) = start("restart and outages", world).await? else {
        return Ok(());
    };
    let (alice, bob) = (world.log_in(ALICE).await?, world.log_in(BOB).await?);
    world.control.kill()?;
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    for login in [&alice, &bob] {
        for server in world.server_names() {
            assert_eq!(answer(&world, &server, login).await?, (200, None), "{server}");
        }
    }
    for user in [ALICE, BOB] {
        let counts = world.home.counts_of(user);
        assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded, "{user}");
        assert!(counts.refreshes_succeeded >= 1);
    }
    world.wait_until_tokens_expired().await;
    let reached = world.upstream_requests();
    world.valkey.as_mut().expect("a Valkey").pause()?;
    let refused = answer(&world, LOCAL, &alice).await?;
    assert_eq!(refused, (503, Some("store_unavailable".to_owned())));
    world.valkey.as_mut().expect("a Valkey").resume()?;
    world.control.kill()?;
    let refused = answer(&world, LOCAL, &bob).await?;
    assert_eq!(refused, (503, Some("control_unreachable".to_owned())));
    assert_eq!(world.upstream_requests(), reached);
    world.control.restart().await?;
    for login in [&alice, &bob] {
        until_served(&world, LOCAL, login).await?;
        assert_eq!(world.session(login).await?["state"], "active");
    }
    assert_eq!(world.home.counts().logins, 2, "nobody logged in again");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// One local and 16 exchange servers, a dead login, listeners that come back: then a new login.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_after_a_real_dex_has_ended_the_login_reaches_nobody_and_a_new_login_recovers()
-> anyhow::Result<()> {
    let Some(world) = start("storm", short_lived().remotes(16)).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.home.end_login(ALICE, CLIENT.0).await?;
    world.wait_until_tokens_expired().await;
    let (servers, begun) = (world.server_names(), Instant::now());
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        for server in &servers {
            for listener in world.call(server).login(&alice).listen().send_many(4).await? {
                assert_eq!(
                    (listener.status, listener.refusal().as_deref()),
                    (401, Some("needs_login"))
                );
                refused += 1;
            }
        }
    }
    assert!(refused >= 4 * 17);
    assert_eq!(world.upstream_requests(), 0);
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 0));
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    world
        .ensure_one_warning_per_pair_and_minute(servers.len())
        .await?;
    let again = world.log_in_again(&alice).await?;
    for server in &servers {
        assert_eq!(answer(&world, server, &again).await?, (200, None), "{server}");
    }
    let tally = world
        .tally_when(|tally| tally.recoveries >= servers.len())
        .await?;
    assert_eq!((tally.recoveries, tally.rejected_expired), (servers.len(), 0));
    Ok(())
}
