//! An aggregator that exchanges by itself presents tokens of the remote issuer.

use std::time::Duration;

use serde_json::Value;
use tokenward_harness::issuer::{fingerprint, http_client};
use tokenward_harness::world::{ALICE, CONNECTOR, World};

const SERVER: &str = "remote-1";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKENS_LIVE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(4);

/// The aggregator's exchange at `endpoint`, the remote issuer's or control's.
async fn exchanged(world: &World, endpoint: &str, id_token: &str) -> anyhow::Result<String> {
    let client = world.exchange_client(SERVER).expect("an exchange server");
    let form = [
        ("grant_type", EXCHANGE),
        ("connector_id", CONNECTOR),
        ("subject_token", id_token),
        ("subject_token_type", ID_TOKEN),
        ("requested_token_type", ID_TOKEN),
        ("scope", "openid profile email groups"),
    ];
    let request = http_client()
        .post(endpoint)
        .basic_auth(&client.id, Some(&client.secret));
    let answer: Value = request
        .form(&form)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    Ok(answer["access_token"].as_str().expect("a token").to_owned())
}

async fn control_calls(world: &World) -> anyhow::Result<u64> {
    let stats = world.envoy.stats().await?;
    Ok(stats.count("tokenward_control_calls_total", &[("server", SERVER)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_controls_exchange_endpoint_is_forwarded_while_it_is_fresh_and_renewed_when_it_is_stale()
-> anyhow::Result<()> {
    let world = World::builder().short_lived(TOKENS_LIVE, MARGIN).start().await?;
    let alice = world.log_in(ALICE).await?;
    let endpoint = format!("{}/exchange/{SERVER}/token", world.control.url());
    let token = exchanged(&world, &endpoint, &alice.tokens.id_token).await?;
    assert_eq!(world.call(SERVER).bearer(&token).send().await?.status, 200);
    let seen = world.server(SERVER).seen();
    assert_eq!(seen[0].fingerprint, fingerprint(&token), "as it is");
    assert_eq!(control_calls(&world).await?, 0);
    assert_eq!(world.remote.counts().exchanges_succeeded, 1);

    world.wait_until_tokens_expired().await;
    let answers = world.call(SERVER).bearer(&token).send_many(20).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    let calls = control_calls(&world).await?;
    assert!((1..=2).contains(&calls), "{calls} calls of two workers");
    assert_eq!(world.remote.counts().exchanges_succeeded, 2, "one for all");
    assert_eq!(world.home.counts().refreshes_succeeded, 1);
    assert_eq!((world.rejected_expired(), world.tally().warnings), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_control_never_gave_is_forwarded_while_it_is_fresh_and_refused_quietly_when_it_is_stale()
-> anyhow::Result<()> {
    let world = World::builder().short_lived(TOKENS_LIVE, MARGIN).start().await?;
    let alice = world.log_in_unregistered(ALICE).await?;
    let token = exchanged(&world, &world.remote.token_endpoint(), &alice.tokens.id_token).await?;
    assert_eq!(world.call(SERVER).bearer(&token).send().await?.status, 200);
    assert_eq!(control_calls(&world).await?, 0);

    world.wait_until_tokens_expired().await;
    for answer in world.call(SERVER).bearer(&token).send_many(50).await? {
        let refused = (answer.status, answer.refusal());
        assert_eq!(refused, (401, Some("token_expired".to_owned())));
    }
    let counts = world.server(SERVER).counts();
    assert_eq!((counts.requests, counts.rejected_expired), (1, 0));
    world.ensure_one_warning_per_pair_and_minute(1).await
}
