use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};
use tokenward_protocol::jwt::MAX_TOKEN_BYTES;

use super::Before;

/// Every byte that only the upper half of Latin-1 or broken UTF-8 has, many times.
fn high_bytes() -> Vec<u8> {
    (0x80..=0xFF).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_in_many_headers_do_no_harm() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in(ALICE).await?;
    let before = Before::attack(&world).await?;
    let mut strange = world.call(LOCAL);
    for number in 0..60 {
        strange = strange.header(&format!("x-strange-{number}"), &high_bytes());
    }
    for answer in strange.clone().login(&alice).send_many_alone(32).await? {
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    let accepted = world.upstream_requests();
    assert_eq!(accepted, 32);
    let session = strange
        .clone()
        .bearer(&alice.tokens.id_token)
        .header("x-tokenward-session", &high_bytes());
    for answer in session.send_many_alone(32).await? {
        assert_eq!(
            answer.status(),
            200,
            "a fresh token is nobody's business: {}",
            answer.text
        );
    }
    let bearer = [b"Bearer ".as_slice(), &high_bytes()].concat();
    for answer in strange
        .header("authorization", &bearer)
        .send_many_alone(32)
        .await?
    {
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (401, Some("malformed_bearer"))
        );
    }
    assert_eq!(world.upstream_requests(), 64);
    before.is_survived(&world, &alice).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_sixty_kilobytes_and_a_hundred_authorizations_are_refused() -> anyhow::Result<()> {
    let world = World::builder().workers(4).large_headers().start().await?;
    let alice = world.log_in(ALICE).await?;
    let before = Before::attack(&world).await?;
    let good = &alice.tokens.id_token;
    let (head, rest) = good.split_once('.').expect("a JWT");
    let signature = rest.rsplit('.').next().unwrap_or_default();
    let long = "A".repeat(60 * 1024);
    let tokens = [
        long.clone(),
        format!("{long}.{rest}"),
        format!("{head}.{long}.{signature}"),
        format!("{good}{long}"),
        ".".repeat(60 * 1024),
    ];
    for token in tokens {
        let expected = if token.len() > MAX_TOKEN_BYTES {
            (431, Some("token_too_large"))
        } else {
            (401, Some("malformed_bearer"))
        };
        for answer in world.call(LOCAL).bearer(&token).send_many_alone(8).await? {
            let refusal = answer.refusal();
            let answered = (answer.status(), refusal.as_deref());
            assert_eq!(answered, expected, "{} bytes, {}", token.len(), &token[..20]);
        }
    }
    let small = world.home.mint(ALICE, CLIENT.0).without("groups").token();
    let mut hundred = world.call(LOCAL);
    for _ in 0..100 {
        hundred = hundred.bearer(&small);
    }
    for answer in hundred.send_many_alone(32).await? {
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (401, Some("ambiguous_bearer"))
        );
    }
    assert_eq!(world.upstream_requests(), 0);
    before.is_survived(&world, &alice).await
}

/// Envoy's own limits come before the filter: a client gets its 431, once.
#[tokio::test(flavor = "multi_thread")]
async fn more_than_envoy_takes_is_envoys_to_refuse() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in(ALICE).await?;
    let before = Before::attack(&world).await?;
    let mut hundred = world.call(LOCAL).login(&alice);
    for number in 0..100 {
        hundred = hundred.header(&format!("x-many-{number}"), b"1");
    }
    let long = world.call(LOCAL).bearer(&"A".repeat(60 * 1024));
    for call in [hundred, long] {
        for answer in call.send_many_alone(8).await? {
            assert_eq!(answer.status(), 431, "{}", answer.text);
        }
    }
    assert_eq!(world.upstream_requests(), 0);
    before.is_survived(&world, &alice).await
}
