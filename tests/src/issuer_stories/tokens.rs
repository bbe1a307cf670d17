//! Tokens near their end, changed ones, and good ones that a server rejects.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokenward_harness::issuer::{Issuer, fingerprint};
use tokenward_harness::world::{ALICE, LOCAL, World, WorldBuilder};
use tokenward_protocol::jwt::Claims;

use super::{PATIENCE, answer, until_served};

const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The life of tokens in [`is_fetched_ahead`].
const NEAR_ITS_END: Duration = Duration::from_secs(60);

/// The world of [`is_fetched_ahead`]: for the filter a token is near its end from the first second on, for control after the
/// first half of its use.
pub fn of_tokens_near_their_end() -> WorldBuilder {
    World::builder()
        .short_lived(NEAR_ITS_END, Duration::from_secs(10))
        .filter_setting("refresh_ahead", "59s")
}

/// A token near its end is forwarded, and the next one fetched ahead of time.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn is_fetched_ahead<I: Issuer>(world: &World<I>) -> anyhow::Result<()> {
    let alice = world.log_in(ALICE).await?;
    let begun = Instant::now();
    while world.home.counts().refreshes_succeeded == 0 {
        assert_eq!(answer(world, LOCAL, &alice).await?, (200, None));
        assert!(begun.elapsed() < NEAR_ITS_END, "nothing was fetched ahead");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let presented = fingerprint(&alice.tokens.id_token);
    let seen = world.server(LOCAL).seen();
    let fresh = seen.iter().filter(|token| token.fingerprint == presented);
    assert_eq!(fresh.count(), seen.len(), "good until its margin, so untouched");
    let own = i64::try_from(Claims::read(alice.tokens.id_token.as_bytes())?.exp_seconds)?;
    while world.session(&alice).await?["id_token_expires_at"].as_i64() <= Some(own) {
        assert!(begun.elapsed() < PATIENCE, "control does not store the next one");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((world.rejected_expired(), world.tally().warnings), (0, 0));
    Ok(())
}

/// Tokens that the issuer signed and that were changed afterwards: without an expiry, with another one, for another user. The
/// world's tokens last.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn changed_tokens_reach_no_server<I: Issuer>(world: &World<I>) -> anyhow::Result<()> {
    let mut alice = world.log_in(ALICE).await?;
    let good = alice.tokens.id_token.clone();
    for exp in [json!(null), json!(0), json!("never"), json!(1.5e9)] {
        alice.tokens.id_token = with_exp(&good, exp)?;
        assert!(world.register(&alice).await.is_err());
        assert_eq!(answer(world, LOCAL, &alice).await?.0, 401);
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
    assert_eq!(world.home.counts().refreshes_presented, 0);
    // Without a session header the token's subject is the session: an unmodified aggregator. Where the exchange needs an access
    // token, one refresh brings it.
    if let Some(server) = world.server_names().last() {
        let served = world.call(server).bearer(&good).send().await?;
        assert_eq!(served.status, 200, "{server}");
    }
    let counts = world.home.counts();
    assert!(counts.refreshes_presented <= 1, "{counts:?}");
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
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

/// The world of [`rejected_token_is_replaced_once`], whose tokens last. One worker: each has to see the server's answer by itself
/// before it knows a fresh token as rejected.
pub fn of_rejected_tokens() -> WorldBuilder {
    World::builder()
        .workers(1)
        .control_setting("rejected_interval", "1ms")
}

/// A server rejects a token that looks fresh: a new one is fetched once, and until then the server gets no request.
///
/// # Errors
/// When something does not answer.
///
/// # Panics
/// When the promise breaks.
pub async fn rejected_token_is_replaced_once<I: Issuer>(world: &World<I>) -> anyhow::Result<()> {
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
    assert_eq!(reached, 1, "the server gets no second request with that token");
    world.server(LOCAL).set_trust_revoked(false);
    until_served(world, LOCAL, &alice).await?;
    let last = world.server(LOCAL).seen().pop();
    let last = last.map(|token| token.fingerprint);
    assert_ne!(last, Some(fingerprint(&alice.tokens.id_token)), "the new one");
    let counts = world.home.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    assert_eq!(world.session(&alice).await?["state"], "active");

    // A plain 403 is the server's own decision and costs neither a call nor a refresh.
    world.server(LOCAL).answer_next(3, StatusCode::FORBIDDEN);
    for _ in 0..3 {
        assert_eq!(answer(world, LOCAL, &alice).await?.0, 403);
    }
    assert_eq!(answer(world, LOCAL, &alice).await?, (200, None));
    assert_eq!(world.home.counts().refreshes_presented, 1);
    Ok(())
}
