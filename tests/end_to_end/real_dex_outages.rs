//! What a user sees of outages, on two real Dex: a server that rejects good tokens, control or the store away, and the
//! restart during which the home Dex is down. Left out, with a line that says so, where Dex is not built.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use tokenward_harness::issuer::{Issuer as _, IssuerCounts, fingerprint};
use tokenward_harness::parts::RealDex;
use tokenward_harness::world::{ALICE, LOCAL, Login, Store, World};

use crate::real_dex_stories::{
    MARGIN, PATIENCE, TOKENS_LIVE, answer, short_lived, start, start_as_built, until_served,
};

const REMOTES: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How often a token may have come near its end since `then` and been renewed: 0 unless the machine stands still.
fn ends_since(then: Instant) -> usize {
    let soonest = TOKENS_LIVE / 2 - MARGIN;
    usize::try_from(then.elapsed().as_millis() / soonest.as_millis()).unwrap_or(usize::MAX)
}

/// Whoever called in vain is served now, by one refresh that nobody lost, in the login that there was.
async fn assert_over(
    world: &World<RealDex>,
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
    assert_eq!(counts.logins, 1, "nobody logged in again");
    assert_eq!(world.session(login).await?["state"], "active");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// The second of the two incidents that started this project, see [`crate::seeds`].
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_a_real_dex_is_down_is_over_with_the_refresh_that_comes_later() -> anyhow::Result<()>
{
    let story = short_lived()
        .store(Store::Valkey)
        .remotes(REMOTES)
        .clients_of_their_own()
        .filter_setting(
            "gate",
            json!({"transient_first": "200ms", "transient_longest": "500ms"}),
        );
    let Some(mut world) = start("restart while the issuer is down", story).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    let servers = world.server_names();
    for server in &servers {
        assert_eq!(answer(&world, server, &alice).await?, (200, None), "{server}");
    }
    world.home.set_down(true);
    world.control.kill()?;
    // Nothing can be issued any more: what expires here is all that anybody or the store holds.
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    let (home, remote) = (world.home.counts(), world.remote.counts());
    let reached = world.upstream_requests();
    for _ in 0..10 {
        for server in &servers {
            let listener = world.call(server).login(&alice).listen().send().await?;
            assert_eq!(listener.status, 503, "waiting helps: {}", listener.body);
        }
    }
    assert_eq!(world.upstream_requests(), reached, "the storm reached nobody");
    world
        .ensure_one_warning_per_pair_and_minute(servers.len())
        .await?;

    let healed = Instant::now();
    world.home.set_down(false);
    for server in &servers {
        until_served(&world, server, &alice).await?;
    }
    let exchanges = world.remote.counts().exchanges_succeeded - remote.exchanges_succeeded;
    let most = REMOTES * (1 + ends_since(healed));
    assert!((REMOTES..=most).contains(&exchanges), "{exchanges} exchanges");
    let tally = world
        .tally_when(|tally| tally.recoveries >= servers.len())
        .await?;
    assert_eq!(tally.rejected_expired, 0);
    assert_over(&world, &alice, home, healed).await
}

/// A server rejects a token that looks fresh: a new one is made once, and until then the server is spared.
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_token_of_a_real_dex_that_a_server_rejects_is_made_anew_once() -> anyhow::Result<()> {
    // One worker: each has to hear the server's answer by itself before it knows a fresh token as rejected.
    let story = World::builder()
        .workers(1)
        .control_setting("rejected_interval", "1ms");
    let Some(world) = start_as_built("a rejected token", story).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    // A token that is made within the same second as the login's is the same, byte for byte.
    let issued_seconds = world.home.clock().now_seconds();
    while world.home.clock().now_seconds() <= issued_seconds {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    world.server(LOCAL).set_trust_revoked(true);
    let refused = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(refused.status, 503, "never the server's 401: {}", refused.body);
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("www-authenticate"), None);
    world
        .home
        .wait_for_counts(|counts| counts.refreshes_succeeded == 1, PATIENCE)
        .await?;
    let reached = world.server(LOCAL).counts().requests;
    assert_eq!(reached, 1, "the server is not asked again on the same behalf");
    world.server(LOCAL).set_trust_revoked(false);
    until_served(&world, LOCAL, &alice).await?;
    let last = world.server(LOCAL).seen().pop();
    let last = last.map(|token| token.fingerprint);
    assert_ne!(last, Some(fingerprint(&alice.tokens.id_token)), "the new one");
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    assert_eq!(world.session(&alice).await?["state"], "active");

    // A plain 403 is the server's own affair and costs nobody anything.
    world.server(LOCAL).answer_next(3, StatusCode::FORBIDDEN);
    for _ in 0..3 {
        assert_eq!(answer(&world, LOCAL, &alice).await?.0, 403);
    }
    assert_eq!(answer(&world, LOCAL, &alice).await?, (200, None));
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_is_gone_is_503_and_back_by_itself_with_a_real_dex() -> anyhow::Result<()> {
    let Some(mut world) = start("control gone", short_lived()).await? else {
        return Ok(());
    };
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
    assert_over(&world, &alice, before, healed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_hangs_is_503_within_the_filters_deadline_with_a_real_dex()
-> anyhow::Result<()> {
    let story = short_lived().filter_setting(
        "control",
        json!({
            "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": "2s",
        }),
    );
    let Some(mut world) = start("control hanging", story).await? else {
        return Ok(());
    };
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
    assert_over(&world, &alice, before, healed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_503_and_signs_nobody_of_a_real_dex_out() -> anyhow::Result<()> {
    let Some(mut world) = start("store gone", short_lived().store(Store::Valkey)).await? else {
        return Ok(());
    };
    let alice = world.log_in(ALICE).await?;
    world.wait_until_tokens_expired().await;
    let before = world.home.counts();
    world.valkey.as_mut().expect("a Valkey").pause()?;
    for server in [LOCAL, "remote-1"] {
        let refused = answer(&world, server, &alice).await?;
        assert_eq!(refused, (503, Some("store_unavailable".to_owned())), "{server}");
    }
    assert_eq!(world.upstream_requests(), 0);
    let presented = world.home.counts().refreshes_presented;
    assert_eq!(
        presented, before.refreshes_presented,
        "the issuer hears nothing of it"
    );
    let healed = Instant::now();
    world.valkey.as_mut().expect("a Valkey").resume()?;
    until_served(&world, "remote-1", &alice).await?;
    assert_over(&world, &alice, before, healed).await
}
