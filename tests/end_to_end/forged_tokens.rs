use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokenward_harness::world::{ALICE, LOCAL, World};

/// For a busy machine; on an idle one it takes a second.
const SERVED_WITHIN: Duration = Duration::from_secs(30);

/// The claims of `token` under another signature.
fn forged(token: &str, number: usize) -> anyhow::Result<String> {
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| anyhow::anyhow!("no JWT"))?;
    let rest = signature.get(8..).unwrap_or_default();
    Ok(format!("{signed}.{number:08}{rest}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_forged_tokens_of_a_user_cost_control_a_few_calls_and_the_user_a_second()
-> anyhow::Result<()> {
    let world = World::builder().workers(1).start().await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let token = &alice.tokens.id_token;
    let (begun, mut answers) = (Instant::now(), BTreeMap::new());
    for number in 0..1_000 {
        let answer = world.call(LOCAL).bearer(&forged(token, number)?).send().await?;
        *answers.entry(answer.status).or_insert(0) += 1;
    }
    let calls = world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]);
    // Six at once, and one more in five seconds.
    let most = 6 + begun.elapsed().as_secs() / 5 + 1;
    println!("1,000 forged tokens: {answers:?}, {calls} calls to control");
    assert!(calls <= most, "{calls} calls, at most {most}");
    assert_eq!(answers.keys().copied().collect::<Vec<u16>>(), [401, 503]);
    assert_eq!(world.home.counts().refreshes_presented, 0);

    // The user's own stale token is refused at first, comes back when `Retry-After` allows it, and is served.
    let own = world.call(LOCAL).bearer(token);
    let limit = Instant::now() + SERVED_WITHIN;
    let mut answer = own.send().await?;
    let mut longest_pause = 1;
    while answer.status != 200 {
        assert_eq!(
            (answer.status, answer.refusal().as_deref()),
            (503, Some("call_limit"))
        );
        let pause: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
        assert!((1..=longest_pause).contains(&pause), "{pause} s");
        assert!(Instant::now() < limit, "not served within {SERVED_WITHIN:?}");
        tokio::time::sleep(Duration::from_secs(pause)).await;
        // Where calls about the forged ones are still under way, until the pair's next call is allowed.
        longest_pause = 5;
        answer = own.send().await?;
    }
    assert_eq!((world.upstream_requests(), world.rejected_expired()), (1, 0));
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}
