//! What is down, what is lost, and what must not follow from it.

use std::time::{Duration, Instant};

use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Store, World};

use super::until_served;

/// #517: failures were remembered for half an hour after their cause was gone. #1163: backing off hid the recovery.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_remembered_longer_than_its_cause() -> anyhow::Result<()> {
    let world = World::builder()
        .filter_setting(
            "gate",
            serde_json::json!({"transient_first": "100ms", "transient_longest": "400ms"}),
        )
        .start()
        .await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.home.set_down(true);
    for _ in 0..20 {
        assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 503);
    }
    world.home.set_down(false);
    until_served(&world, LOCAL, &alice).await?;
    assert_eq!(world.server(LOCAL).counts().accepted, 1);
    Ok(())
}

/// #525: the way from Dex to its own upstream was broken: 680 errors a minute.
/// "provider unavailable": 5xx and 429 of an issuer are no reason to throw a login away.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_whose_own_upstream_is_broken_is_asked_seldom_and_nobody_is_signed_out()
-> anyhow::Result<()> {
    let world = World::builder().workers(2).start().await?;
    let too_many = Failure::too_many_requests(1);
    for (user, failure) in [(ALICE, Failure::internal_error()), ("bob@example.com", too_many)] {
        let login = world.log_in_an_hour_ago(user).await?;
        world.home.fail_always(Endpoint::Refresh, failure);
        let begun = Instant::now();
        for answer in world.call(LOCAL).login(&login).send_many(100).await? {
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert!(answer.header("retry-after").is_some());
        }
        let presented = world.home.counts_of(user).refreshes_presented;
        // The gate opens for a probe after a second, and then after longer.
        let most = 2 + usize::try_from(begun.elapsed().as_secs())?;
        assert!(presented <= most, "{presented} for a hundred requests of {user}");
        world.home.heal(Endpoint::Refresh);
        until_served(&world, LOCAL, &login).await?;
    }
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// #999: a server was deployed anew and forgot its MCP sessions; the gateway must not hide its 404.
#[tokio::test(flavor = "multi_thread")]
async fn a_servers_404_for_a_lost_mcp_session_reaches_the_client() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    world.server(LOCAL).answer_next(1, http::StatusCode::NOT_FOUND);
    let call = world.call(LOCAL).login(&alice).header("mcp-session-id", b"lost");
    assert_eq!(call.send().await?.status, 404);
    assert_eq!(call.send().await?.status, 200, "the next one is not held back");
    Ok(())
}

/// #1102: a lost grant (Valkey came back with older contents). #1229, #1233: no memory of its own takes the store's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_everything_costs_one_quiet_login() -> anyhow::Result<()> {
    let mut world = World::builder().workers(2).store(Store::Valkey).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let valkey = world.valkey.as_mut().expect("a Valkey");
    valkey.kill()?;
    valkey.restart().await?;
    let (mut unknown, limit) = (0, Instant::now() + Duration::from_secs(90));
    while unknown < 30 {
        assert!(Instant::now() < limit, "{unknown} of 30");
        let answer = world.call(LOCAL).login(&alice).send().await?;
        match (answer.status, answer.refusal().as_deref()) {
            (401, Some("token_expired")) => unknown += 1,
            // The connection to the old Valkey may be found broken first.
            (503, Some("store_unavailable")) => tokio::time::sleep(Duration::from_millis(200)).await,
            other => panic!("{other:?}: {}", answer.body),
        }
    }
    assert_eq!(world.upstream_requests(), 0);
    world.ensure_one_warning_per_pair_and_minute(1).await?;
    assert_eq!(world.home.counts().refreshes_presented, 0);
    let alice = world.log_in_again(&alice).await?;
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    Ok(())
}

/// #1140: a server that could not be reached was treated like a login that had failed, for half an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_no_failure_of_the_login() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    for server in [LOCAL, "remote-1"] {
        world.server(server).set_down(true);
        for _ in 0..5 {
            let answer = world.call(server).login(&alice).send().await?;
            assert_eq!((answer.status, answer.refusal()), (503, None), "{}", answer.body);
        }
        world.server(server).set_down(false);
        assert_eq!(world.call(server).login(&alice).send().await?.status, 200);
    }
    assert_eq!(world.tally().warnings, 0);
    assert_eq!(world.session(&alice).await?["state"], "active");
    Ok(())
}

/// #1102: "auth required" is final until a human acts: a dead grant is presented once, whoever asks, also after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_is_final_until_a_human_acts() -> anyhow::Result<()> {
    let mut world = World::builder().store(Store::Valkey).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    for _ in 0..2 {
        for server in [LOCAL, "remote-1"] {
            let answer = world.call(server).login(&alice).send().await?;
            assert_eq!(
                (answer.status, answer.refusal().as_deref()),
                (401, Some("needs_login"))
            );
        }
        world.control.kill()?;
        world.control.restart().await?;
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}
