//! Access tokens of control's own authorization server on the whole path: swapped, and never seen by a server.

use std::time::Duration;

use tokenward_harness::issuer::{Issuer, fingerprint, http_client};
use tokenward_harness::world::{ALICE, Answer, LOCAL, World};

const REMOTE: &str = "remote-1";
const TOKENS_LIVE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(4);

async fn control_calls<I: Issuer>(world: &World<I>) -> anyhow::Result<u64> {
    let stats = world.envoy.stats().await?;
    Ok(stats.count("tokenward_control_calls_total", &[]))
}

fn outcome(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.refusal())
}

fn refused(status: u16, refusal: &str) -> (u16, Option<String>) {
    (status, Some(refusal.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_swaps_it_once_for_each_server_and_no_server_sees_it() -> anyhow::Result<()> {
    let world = World::builder().authorization().workers(4).start().await?;
    let alice = world.log_in(ALICE).await?;
    for server in [LOCAL, REMOTE] {
        let token = world.sign(&world.own_token(&alice, server));
        let answers = world.call(server).bearer(&token).send_many(40).await?;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        let seen = world.server(server).seen();
        assert_eq!(
            (seen.len(), seen.iter().filter(|seen| seen.is_own).count()),
            (40, 0)
        );
        assert!(seen.iter().all(|seen| seen.fingerprint != fingerprint(&token)));
    }
    let calls = control_calls(&world).await?;
    assert!(
        (2..=8).contains(&calls),
        "{calls} calls of four workers for two servers"
    );
    assert_eq!(world.remote.counts().exchanges_succeeded, 1);
    assert_eq!(world.home.counts().refreshes_presented, 0);
    let tally = world.tally();
    assert_eq!(
        (tally.own_tokens, tally.rejected_other, tally.warnings),
        (0, 0, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_idling_past_the_issuers_expiry_the_same_token_opens_the_server_with_one_refresh()
-> anyhow::Result<()> {
    let world = World::builder()
        .authorization()
        .workers(4)
        .short_lived(TOKENS_LIVE, MARGIN)
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    let token = world.sign(&world.own_token(&alice, LOCAL));
    assert_eq!(world.call(LOCAL).bearer(&token).send().await?.status, 200);
    world.wait_until_tokens_expired().await;
    let answers = world.call(LOCAL).bearer(&token).send_many(20).await?;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    assert_eq!((world.rejected_expired(), world.own_tokens()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_one_and_one_for_another_resource_are_refused_at_once_without_a_call() -> anyhow::Result<()> {
    let world = World::builder().authorization().workers(2).start().await?;
    let alice = world.log_in(ALICE).await?;
    let now_seconds = world.home.clock().now_ms() / 1000;
    let good = world.own_token(&alice, LOCAL);
    let stale = world.sign(&good.clone().issued(now_seconds - 3600, 3600));
    let elsewhere = world.sign(&world.own_token(&alice, REMOTE));
    let sessionless = world.sign(&good.clone().claim("sid", serde_json::Value::Null));
    for (token, refusal) in [
        (&stale, "token_expired"),
        (&elsewhere, "wrong_audience"),
        (&sessionless, "malformed_bearer"),
    ] {
        for call in [world.call(LOCAL), world.call(LOCAL).listen()] {
            let answer = call.bearer(token).send().await?;
            assert_eq!(outcome(&answer), refused(401, refusal));
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            let document = format!(
                "resource_metadata=\"{}/.well-known/oauth-protected-resource/{LOCAL}/mcp\", scope=\"mcp\"",
                world.authorization_issuer()
            );
            assert!(
                challenge.starts_with("Bearer error=\"invalid_token\""),
                "{challenge}"
            );
            assert!(challenge.ends_with(&document), "{challenge}");
        }
    }
    // The document that the challenge names is control's.
    let url = format!(
        "{}/.well-known/oauth-protected-resource/{LOCAL}/mcp",
        world.authorization_issuer()
    );
    let document: serde_json::Value = http_client()
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    assert_eq!(document["resource"], world.resource(LOCAL).as_str());
    assert_eq!(
        document["authorization_servers"],
        serde_json::json!([world.authorization_issuer()])
    );
    assert_eq!((control_calls(&world).await?, world.upstream_requests()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_one_costs_one_call_and_then_meets_a_closed_gate() -> anyhow::Result<()> {
    let world = World::builder().authorization().workers(1).start().await?;
    let alice = world.log_in(ALICE).await?;
    let good = world.sign(&world.own_token(&alice, LOCAL));
    let (input, signature) = good.rsplit_once('.').unwrap_or_default();
    // Another first character: the last one has bits that only a canonical encoding leaves zero.
    let (first, rest) = signature.split_at(1);
    let forged = format!("{input}.{}{rest}", if first == "A" { "B" } else { "A" });
    for _ in 0..20 {
        let answer = world.call(LOCAL).bearer(&forged).send().await?;
        assert_eq!(outcome(&answer), refused(401, "subject_rejected"));
    }
    assert_eq!(control_calls(&world).await?, 1);
    // Neither the gate of the forged one nor its warning is the good one's.
    assert_eq!(world.call(LOCAL).bearer(&good).send().await?.status, 200);
    assert_eq!(
        (
            world.upstream_requests(),
            world.tally_when(|tally| tally.warnings == 1).await?.own_tokens
        ),
        (1, 0)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_token_is_judged_by_its_own_rules_only() -> anyhow::Result<()> {
    let world = World::builder().authorization().workers(1).start().await?;
    let alice = world.log_in(ALICE).await?;
    // The user's own ID token is taken as before.
    assert_eq!(world.call(LOCAL).login(&alice).send().await?.status, 200);
    assert_eq!(control_calls(&world).await?, 0);
    // An ID token that names our issuer is none of the issuer's, and no access token either.
    let as_id_token = world.sign(&world.own_token(&alice, LOCAL).header("typ", "JWT"));
    let answer = world.call(LOCAL).bearer(&as_id_token).send().await?;
    assert_eq!(outcome(&answer), refused(401, "subject_rejected"));
    // The issuer's access token has no audience of a resource.
    let upstream = world.sign(&world.own_token(&alice, LOCAL).claim("iss", world.home.issuer()));
    let answer = world.call(LOCAL).bearer(&upstream).send().await?;
    assert_eq!(outcome(&answer), refused(401, "wrong_audience"));
    // On a path of no server nothing of ours passes.
    let own = world.sign(&world.own_token(&alice, LOCAL));
    let answer = world.call("elsewhere").bearer(&own).send().await?;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert_eq!((world.upstream_requests(), world.own_tokens()), (1, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_and_a_dead_login_end_it_no_later_than_the_token_that_it_stands_for() -> anyhow::Result<()>
{
    let world = World::builder()
        .authorization()
        .workers(1)
        .user("carol@example.com")
        .short_lived(TOKENS_LIVE, MARGIN)
        .start()
        .await?;
    let alice = world.log_in(ALICE).await?;
    let carol = world.log_in("carol@example.com").await?;
    let tokens = [&alice, &carol].map(|login| world.sign(&world.own_token(login, LOCAL)));
    for token in &tokens {
        assert_eq!(world.call(LOCAL).bearer(token).send().await?.status, 200);
    }
    world.sign_out(&alice).await?;
    world.home.end_login("carol@example.com", "muster").await?;
    world.wait_until_tokens_expired().await;
    let refusals = ["unknown_session", "needs_login"];
    for (token, refusal) in tokens.iter().zip(refusals) {
        for _ in 0..5 {
            let answer = world.call(LOCAL).bearer(token).send().await?;
            assert_eq!(outcome(&answer), refused(401, refusal));
        }
    }
    assert_eq!(
        (world.home.counts().refreshes_presented, world.upstream_requests()),
        (1, 2)
    );
    assert_eq!((world.rejected_expired(), world.own_tokens()), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_control_swap_for_each_other() -> anyhow::Result<()> {
    let mut world = World::builder()
        .authorization()
        .workers(4)
        .control_replicas(1)
        .start()
        .await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let token = world.sign(&world.own_token(&alice, LOCAL));
    let answers = world.call(LOCAL).bearer(&token).send_many(40).await?;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(world.home.counts().refreshes_presented, 1);
    world.control.kill()?;
    let second = world.sign(&world.own_token(&alice, REMOTE));
    // Envoy may try the dead one first: the client's next try gets through.
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let answer = world.call(REMOTE).bearer(&second).send().await?;
        statuses.push(answer.status);
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        let pause = answer.header("retry-after").unwrap_or_default().parse()?;
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
    assert_eq!(statuses.last(), Some(&200), "{statuses:?}");
    assert_eq!(world.own_tokens(), 0);
    Ok(())
}
