//! Which token is used.

use std::time::Duration;

use tokenward_harness::issuer::{Endpoint, Failure};
use tokenward_harness::parts::Envoy;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

const REMOTE: &str = "remote-1";

/// #316, #382: an answer to a refresh without `id_token` left the session with a stale one for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_without_an_id_token_leaves_nobody_with_a_stale_one() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    world.home.fail_next(Endpoint::Refresh, 1, &Failure::NoIdToken);
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (503, Some("issuer_misconfigured"))
    );
    assert_eq!(world.upstream_requests(), 0);
    assert_eq!(world.session(&alice).await?["state"], "active");
    let alice = world.log_in_again(&alice).await?;
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}

/// #281: servers were connected one after the other, and the session was over before the last.
#[tokio::test(flavor = "multi_thread")]
async fn first_connections_to_many_servers_do_not_wait_for_each_other() -> anyhow::Result<()> {
    let world = World::builder().remotes(4).clients_of_their_own().start().await?;
    let alice = world.log_in(ALICE).await?;
    world.remote.hold(Endpoint::Exchange);
    let mut under_way = tokio::task::JoinSet::new();
    for number in 1..=4 {
        let call = world.call(&format!("remote-{number}")).login(&alice);
        under_way.spawn(async move { call.send().await });
    }
    let held = world.remote.wait_until_held(Endpoint::Exchange, 4);
    tokio::time::timeout(Duration::from_secs(20), held).await?;
    world.remote.release(Endpoint::Exchange);
    for answer in under_way.join_all().await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    Ok(())
}

/// #425, #428: the `Authorization` header was baked in when a connection was made.
/// #516, #519: the background read another token store than the foreground.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_baked_in_at_connect_works_on_and_listeners_get_the_same_token_as_calls()
-> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let (call, listener) = (
        world.call(LOCAL).login(&alice),
        world.call(LOCAL).login(&alice).listen(),
    );
    for _ in 0..3 {
        assert_eq!(call.send().await?.status, 200);
        assert_eq!(listener.send().await?.status, 200);
    }
    let mut tokens: Vec<_> = world
        .server(LOCAL)
        .seen()
        .into_iter()
        .map(|token| token.fingerprint)
        .collect();
    assert_eq!(tokens.len(), 6);
    tokens.dedup();
    assert_eq!((tokens.len(), world.home.counts().refreshes_presented), (1, 1));
    Ok(())
}

/// #806: identities without an email were dropped. (At the exchange Dex itself drops them.)
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_without_an_email_is_served() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let mut alice = world.log_in(ALICE).await?;
    let draft = world.home.mint(ALICE, CLIENT.0).without("email");
    alice.tokens.id_token = draft.token();
    world.register(&alice).await?;
    let answer = world.call(LOCAL).login(&alice).send().await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(world.server(LOCAL).counts().accepted, 1);
    Ok(())
}

/// #822: tokens without `aud`. #1141, #1142: a wrong audience was blamed on the keys.
/// #1053: live sessions went on with tokens that lack an audience which a server has come to require.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_the_servers_audience_stays_here_and_the_reason_is_said() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    let draft = || world.home.mint(ALICE, CLIENT.0);
    let tokens = [
        (draft().without("aud"), "malformed_bearer"),
        (draft().audiences(&["another"]), "wrong_audience"),
    ];
    for (token, refusal) in tokens {
        let call = world.call(LOCAL).bearer(&token.token());
        let session = alice.session.as_bytes();
        let answer = call.header("x-tokenward-session", session).send().await?;
        assert_eq!((answer.status, answer.refusal().as_deref()), (401, Some(refusal)));
    }
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// #857: the first request of a new session raced the connections that were still being made, and found no tools.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_of_a_session_is_served_by_every_server() -> anyhow::Result<()> {
    let world = World::builder().remotes(3).start().await?;
    let alice = world.log_in(ALICE).await?;
    let calls = world
        .server_names()
        .into_iter()
        .map(|name| world.call(&name).login(&alice));
    let mut under_way = tokio::task::JoinSet::new();
    for call in calls {
        under_way.spawn(async move { call.send().await });
    }
    for answer in under_way.join_all().await {
        assert_eq!(answer?.status, 200);
    }
    Ok(())
}

/// #938: the exchanged token of an idle listener expired and was not renewed. #942, #944: its renewal forgot the
/// audiences and the client's credentials.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_listeners_exchanged_token_is_renewed_with_all_that_the_first_had() -> anyhow::Result<()> {
    let (life, margin) = (Duration::from_secs(14), Duration::from_secs(4));
    let world = World::builder().short_lived(life, margin).start().await?;
    let alice = world.log_in(ALICE).await?;
    let listener = world.call(REMOTE).login(&alice).listen();
    assert_eq!(listener.send().await?.status, 200);
    world.wait_until_tokens_expired().await;
    let half_an_hour = Duration::from_secs(1800);
    world.home.set_id_token_lifetime(half_an_hour);
    world.remote.set_id_token_lifetime(half_an_hour);
    let before = world.remote.counts().exchanges_succeeded;
    assert_eq!(listener.send().await?.status, 200);
    let counts = world.server(REMOTE).counts();
    assert_eq!((counts.accepted, counts.requests), (2, 2));
    assert_eq!(world.remote.counts().exchanges_succeeded, before + 1);
    Ok(())
}

/// #1268, #1271, #1272: a token that expired twelve days ago was kept while the status said "authenticated".
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_twelve_days_ago_proves_nothing_any_more() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    let old = world
        .home
        .mint(ALICE, CLIENT.0)
        .expires_in_seconds(-12 * 24 * 3600);
    let call = world.call(LOCAL).bearer(&old.token());
    let answer = call
        .header("x-tokenward-session", alice.session.as_bytes())
        .send()
        .await?;
    assert_eq!(
        (answer.status, answer.refusal().as_deref()),
        (401, Some("subject_rejected"))
    );
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// #1276: a server's way of authentication was changed under live sessions, which went on with what they had.
#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_of_a_server_makes_another_token() -> anyhow::Result<()> {
    let mut world = World::builder().start().await?;
    let alice = world.log_in(ALICE).await?;
    assert_eq!(status(&world, &alice).await?, 200);
    let mut config = world.control.config().clone();
    for server in &mut config.servers {
        if let Some(exchange) = &mut server.exchange {
            exchange.scopes = "openid email".to_owned();
        }
    }
    world.control.restart_with(config).await?;
    let mut routes = world.envoy.config().clone();
    routes.control = Some(world.control.address());
    world.envoy = Envoy::start(&routes).await?;
    assert_eq!(status(&world, &alice).await?, 200);
    assert_eq!(world.remote.counts().exchanges_presented, 2);
    Ok(())
}

async fn status(world: &World, login: &Login) -> anyhow::Result<u16> {
    Ok(world.call(REMOTE).login(login).send().await?.status)
}
