use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::{Script, ScriptedServer};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};

use super::Before;

const FROM_CONTROL: [(&str, &str); 2] = Script::FROM_CONTROL;
const HTML: (&str, &str) = ("content-type", "text/html");

/// Control's settings in the filter, with this deadline.
fn control_within(timeout: &str) -> Value {
    json!({
        "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"}, "timeout": timeout,
    })
}

/// What a broken control may say, and the refusal that must come of it.
fn attacks(world: &World) -> Vec<(&'static str, Script, &'static str)> {
    let good = || world.home.mint(ALICE, CLIENT.0);
    let whole = Script::token;
    let good_body = Script::token_body(&good().token());
    let half = &good_body[..good_body.len() / 2];
    let page = b"<html><body>It works!</body></html>";
    vec![
        (
            "20 MB",
            Script::answer(200, &FROM_CONTROL, &vec![b'['; 20_000_000]),
            "control_garbled",
        ),
        (
            "a page, marked",
            Script::answer(200, &[FROM_CONTROL[0], HTML], page),
            "control_garbled",
        ),
        ("a page", Script::answer(200, &[HTML], page), "control_garbled"),
        (
            "a good answer without the mark",
            Script::answer(200, &[FROM_CONTROL[1]], &good_body),
            "control_garbled",
        ),
        (
            "half of the JSON",
            Script::answer(200, &FROM_CONTROL, half),
            "control_garbled",
        ),
        (
            "nothing",
            Script::answer(200, &FROM_CONTROL, b""),
            "control_garbled",
        ),
        (
            "deep JSON",
            Script::answer(200, &FROM_CONTROL, &[b'['; 60_000]),
            "control_garbled",
        ),
        (
            "bytes",
            Script::answer(200, &FROM_CONTROL, &[0xFF; 60_000]),
            "control_garbled",
        ),
        (
            "a refusal nobody knows",
            Script::answer(418, &FROM_CONTROL, br#"{"refusal":"teapot"}"#),
            "control_garbled",
        ),
        (
            "no HTTP",
            Script::bytes(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
            "control_unreachable",
        ),
        ("closed at once", Script::bytes(Vec::new()), "control_unreachable"),
        (
            "closed in the headers",
            Script::bytes(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
            "control_unreachable",
        ),
        (
            "closed in the body",
            Script::answer_of_length(200, &FROM_CONTROL, half, good_body.len()),
            "control_unreachable",
        ),
        (
            "an expired token",
            whole(&good().expires_in_seconds(-5).token()),
            "answer_stale",
        ),
        (
            "a token within the margin",
            whole(&good().expires_in_seconds(30).token()),
            "answer_stale",
        ),
        (
            "a token without an end",
            whole(&good().without("exp").token()),
            "control_garbled",
        ),
        (
            "another issuer's",
            whole(&good().claim("iss", "https://other.example.com").token()),
            "answer_unfit",
        ),
        (
            "another audience's",
            whole(&good().audiences(&["other"]).token()),
            "answer_unfit",
        ),
        (
            "another user's",
            whole(&world.home.mint("bob@example.com", CLIENT.0).token()),
            "answer_unfit",
        ),
        ("no token", whole("garbage"), "control_garbled"),
        (
            "late",
            whole(&good().token()).late(Duration::from_secs(20)),
            "control_late",
        ),
        ("never", Script::silence(), "control_late"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_control_answers_each_request_is_refused_once_and_every_worker_lives() -> anyhow::Result<()>
{
    let control = ScriptedServer::start(Script::silence()).await?;
    let world = World::builder()
        .workers(4)
        .filter_calls(control.address())
        .filter_setting("control", control_within("4s"))
        .start()
        .await?;
    let fresh = world.log_in(ALICE).await?;
    let mut stale = world.log_in_an_hour_ago(ALICE).await?;
    for (number, (what, script, refusal)) in attacks(&world).into_iter().enumerate() {
        // A pair of its own, for the gate of the one before is closed.
        stale.session = format!("attack-{number}");
        let before = Before::attack(&world).await?;
        let (asked, arrived) = (control.requests(), world.upstream_requests());
        control.play(script);
        let begun = Instant::now();
        for answer in world.call(LOCAL).login(&stale).send_many_alone(16).await? {
            assert_eq!(answer.status(), 503, "{what}: {}", answer.text);
            assert_eq!(answer.refusal().as_deref(), Some(refusal), "{what}");
            assert!(
                answer.text.contains("\r\nretry-after: "),
                "{what}: {}",
                answer.text
            );
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what}: {:?}",
            begun.elapsed()
        );
        let calls = control.requests() - asked;
        assert!(
            (1..=4 + usize::try_from(begun.elapsed().as_secs())?).contains(&calls),
            "{what}: {calls} calls for 16 requests on 4 workers"
        );
        assert_eq!(world.upstream_requests(), arrived, "{what}");
        before.is_survived(&world, &fresh).await?;
    }
    control.play(Script::token(&world.home.mint(ALICE, CLIENT.0).token()));
    stale.session = "no-attack".to_owned();
    for answer in world.call(LOCAL).login(&stale).send_many_alone(16).await? {
        assert_eq!(answer.status(), 200, "the script is a good one: {}", answer.text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_in_the_pause_leave_nothing_behind() -> anyhow::Result<()> {
    let world = World::builder()
        .workers(4)
        .filter_setting("control", control_within("34s"))
        .control_setting("caller_deadline", "30s")
        .start()
        .await?;
    let fresh = world.log_in("bob@example.com").await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let before = Before::attack(&world).await?;
    world.home.hold(Endpoint::Refresh);
    let call = world.call(LOCAL).login(&stale);
    let mut paused = Vec::new();
    for _ in 0..40 {
        paused.push(call.send_alone().await?);
    }
    world.wait_for_requests_under_way(40).await?;
    world.home.wait_until_held(Endpoint::Refresh, 1).await;
    // The first ones started the workers' calls.
    let staying = paused.split_off(20);
    drop(paused);
    world.wait_for_requests_under_way(20).await?;
    before.is_survived(&world, &fresh).await?;
    let served = world.upstream_requests();
    world.home.release(Endpoint::Refresh);
    for waiting in staying {
        let answer = waiting.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(
        world.upstream_requests(),
        served + 20,
        "of the 40 the 20 that stayed"
    );
    assert_eq!(world.home.counts().refreshes_presented, 1);
    world.wait_for_requests_under_way(0).await?;
    before.is_survived(&world, &fresh).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_service_that_is_killed_in_its_answers_costs_each_waiter_one_503() -> anyhow::Result<()> {
    let mut world = World::builder().workers(4).start().await?;
    let fresh = world.log_in("bob@example.com").await?;
    let stale = world.log_in_an_hour_ago(ALICE).await?;
    let before = Before::attack(&world).await?;
    world.home.hold(Endpoint::Refresh);
    let call = world.call(LOCAL).login(&stale);
    let mut paused = Vec::new();
    for _ in 0..20 {
        paused.push(call.send_alone().await?);
    }
    world.wait_for_requests_under_way(20).await?;
    world.home.wait_until_held(Endpoint::Refresh, 1).await;
    world.control.kill()?;
    for waiting in paused {
        let answer = waiting.whole_answer().await?;
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (503, Some("control_unreachable"))
        );
    }
    assert_eq!(world.upstream_requests(), 0);
    before.is_survived(&world, &fresh).await?;
    world.home.release(Endpoint::Refresh);
    world.control.restart().await?;
    before.is_survived(&world, &fresh).await
}
