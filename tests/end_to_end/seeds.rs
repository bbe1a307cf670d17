//! The incidents that started this project, named after what went wrong.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, Store, World};

/// Tokens of the stories in which they expire, and how long before their end they are stale.
const LIFE: Duration = Duration::from_secs(14);
const MARGIN: Duration = Duration::from_secs(4);
const HALF_AN_HOUR: Duration = Duration::from_secs(1800);

/// #549: tokens were stored without an expiry, and "no expiry" was read as "never expires".
#[tokio::test(flavor = "multi_thread")]
async fn a_token_stored_without_expiry_is_never_served() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let mut alice = world.log_in_unregistered(ALICE).await?;
    for (exp, why) in [
        (json!(null), "none"),
        (json!(0), "zero"),
        (json!("never"), "a text"),
        (json!(1.5e9), "a float"),
    ] {
        let draft = world.home.mint(ALICE, CLIENT.0);
        alice.tokens.id_token = match why {
            "none" => draft.without("exp"),
            _ => draft.claim("exp", exp),
        }
        .token();
        let refused = world.register(&alice).await.expect_err(why).to_string();
        assert!(refused.contains("invalid_"), "{why}: {refused}");
        let answer = world.call(LOCAL).login(&alice).send().await?;
        assert_eq!(answer.status, 401, "{why}: {}", answer.body);
    }
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// #549: after 30 idle minutes the expired JWT was forwarded: 401, although the user was logged in.
#[tokio::test(flavor = "multi_thread")]
async fn idle_past_expiry_then_one_request_succeeds_with_a_refreshed_token() -> anyhow::Result<()> {
    let world = World::builder().short_lived(LIFE, MARGIN).start().await?;
    let alice = world.log_in(ALICE).await?;
    let servers = [LOCAL, "remote-1"];
    for server in servers {
        assert_eq!(world.call(server).login(&alice).send().await?.status, 200);
    }
    for life in [LIFE, HALF_AN_HOUR] {
        world.wait_until_tokens_expired().await;
        world.home.set_id_token_lifetime(life);
        world.remote.set_id_token_lifetime(life);
        let (home, remote) = (world.home.counts(), world.remote.counts());
        for server in servers {
            let answer = world.call(server).login(&alice).send().await?;
            assert_eq!(answer.status, 200, "{server}: {}", answer.body);
        }
        let refreshes = world.home.counts().refreshes_presented - home.refreshes_presented;
        let exchanges = world.remote.counts().exchanges_presented - remote.exchanges_presented;
        match life {
            HALF_AN_HOUR => assert_eq!((refreshes, exchanges), (1, 1)),
            // On a slow machine these are over before the second call.
            _ => assert!(refreshes >= 1 && exchanges >= 1),
        }
    }
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// #520: after a restart, sessions that survived in the store reconnected without a usable ID token. #811, #841, #682: a mark
/// "authenticated" outlived what it stood for.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_survive_a_restart_work_on_the_next_request() -> anyhow::Result<()> {
    let mut world = World::builder().store(Store::Valkey).remotes(3).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let bob = world.log_in_an_hour_ago("bob@example.com").await?;
    world.control.kill()?;
    world.control.restart().await?;
    for login in [&alice, &bob] {
        for server in world.server_names() {
            let answer = world.call(&server).login(login).send().await?;
            assert_eq!(answer.status, 200, "{server}: {}", answer.body);
        }
    }
    assert_eq!(world.home.counts().refreshes_presented, 2, "one per user");
    assert_eq!(world.remote.counts().exchanges_presented, 2, "one per user");
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// #520: the pods restart with stale sessions and expired exchanged tokens, and the refresh that would help comes later only.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_stale_sessions_and_expired_exchanges_is_over_with_the_refresh_that_comes_later()
-> anyhow::Result<()> {
    let mut world = World::builder()
        .store(Store::Valkey)
        .remotes(3)
        .clients_of_their_own()
        .short_lived(LIFE, MARGIN)
        .filter_setting(
            "gate",
            json!({"transient_first": "200ms", "transient_longest": "500ms"}),
        )
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    let servers = world.server_names();
    for server in &servers {
        let answer = world.call(server).login(&alice).send().await?;
        assert_eq!(answer.status, 200, "{server}: {}", answer.body);
    }
    world.home.set_down(true);
    world.control.kill()?;
    // Nothing can be issued any more: what expires here is all that anybody or the store holds.
    world.wait_until_tokens_expired().await;
    world.control.restart().await?;
    let (home, remote, reached) = (
        world.home.counts(),
        world.remote.counts(),
        world.upstream_requests(),
    );
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

    world.home.set_id_token_lifetime(HALF_AN_HOUR);
    world.remote.set_id_token_lifetime(HALF_AN_HOUR);
    world.home.set_down(false);
    let limit = Instant::now() + Duration::from_secs(120);
    for server in &servers {
        while world.call(server).login(&alice).listen().send().await?.status != 200 {
            assert!(Instant::now() < limit, "{server} never came back");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let (home_now, remote_now) = (world.home.counts(), world.remote.counts());
    assert_eq!(home_now.refreshes_succeeded - home.refreshes_succeeded, 1);
    assert_eq!(remote_now.exchanges_succeeded - remote.exchanges_succeeded, 3);
    let tally = world
        .tally_when(|tally| tally.recoveries >= servers.len())
        .await?;
    assert_eq!((tally.rejected_expired, tally.recoveries), (0, servers.len()));
    Ok(())
}

/// #520: 456 straight 403s on one local server: a session without a valid ID token must not connect to anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_grant_is_dead_gets_no_connection_to_any_server() -> anyhow::Result<()> {
    let world = World::builder().workers(4).remotes(16).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    for _ in 0..5 {
        for server in world.server_names() {
            let listener = world.call(&server).login(&alice).listen().send().await?;
            assert_eq!(
                (listener.status, listener.refusal().as_deref()),
                (401, Some("needs_login"))
            );
        }
    }
    assert_eq!(world.upstream_requests(), 0);
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!(world.remote.counts().exchanges_presented, 0);
    world.ensure_one_warning_per_pair_and_minute(17).await
}

/// #511 to #515 of mcp-oauth: several sessions of one user share one refresh token at Dex; three of four used to die.
#[tokio::test(flavor = "multi_thread")]
async fn four_sessions_of_one_user_live_on_one_grant() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let mut sessions = Vec::new();
    for number in 0..4 {
        let login = world.log_in_an_hour_ago(ALICE).await?;
        sessions.push(Login {
            session: format!("session-{number}"),
            ..login
        });
        world.register(&sessions[number]).await?;
    }
    for _ in 0..2 {
        for login in &sessions {
            let answer = world.call(LOCAL).login(login).send().await?;
            assert_eq!(answer.status, 200, "{}: {}", login.session, answer.body);
        }
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}

/// An unmodified aggregator sends no session header: the token's subject is the session.
#[tokio::test(flavor = "multi_thread")]
async fn an_unmodified_aggregator_works_by_the_tokens_subject() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let stranger = world
        .home
        .mint("bob@example.com", CLIENT.0)
        .expires_in_seconds(-60)
        .token();
    assert_eq!(
        world
            .call(LOCAL)
            .bearer(&alice.tokens.id_token)
            .send()
            .await?
            .status,
        200
    );
    let answer = world.call(LOCAL).bearer(&stranger).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (401, Some("token_expired"))
    );
    Ok(())
}
