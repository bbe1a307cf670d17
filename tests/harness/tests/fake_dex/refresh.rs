use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokenward_harness::issuer::{FakeDex, IssuerClock, RefreshTokenPolicy};

use super::peer::{
    Answer, CLAIMED, EMAIL, MUSTER, claims, config, dex, dex_with_reuse, login, refresh, token,
};

const EXPIRED: &str = r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#;

#[test]
fn a_stopped_clock_is_moved_by_hand_only() {
    let clock = IssuerClock::default();
    let (begun, walking_ms) = (Instant::now(), clock.now_ms());
    while clock.now_ms() == walking_ms {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not walk");
    }
    clock.stop();
    let stopped_ms = clock.now_ms();
    let same = clock.clone();
    let wall = IssuerClock::default();
    while wall.now_ms() <= stopped_ms + 1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the wall clock stands");
    }
    clock.stop();
    assert_eq!(same.now_ms(), stopped_ms);
    same.advance(Duration::from_secs(3));
    clock.rewind(Duration::from_secs(1));
    assert_eq!(clock.now_ms(), stopped_ms + 2000);
}

#[tokio::test]
async fn a_refresh_gives_a_new_refresh_token_of_the_same_family_and_a_new_id_token() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let answer = refresh(&dex, &tokens.refresh_token).await;
    answer.assert_tokens();
    assert_eq!(
        answer.members(),
        [
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "id_token"
        ]
    );
    let rotated = answer.text("refresh_token");
    assert_ne!(rotated, tokens.refresh_token);
    // The first 27 bytes, 36 characters, are the id of the token; the secret follows.
    assert_eq!(rotated[..36], tokens.refresh_token[..36]);
    assert_ne!(answer.text("id_token"), tokens.id_token);
    let (old, new) = (claims(&tokens.id_token), claims(&answer.text("id_token")));
    assert_eq!((&old["sub"], &old["aud"]), (&new["sub"], &new["aud"]));
}

#[tokio::test]
async fn without_reuse_a_used_token_is_400_and_its_successor_lives_on() {
    let dex = dex().await;
    let first = login(&dex).await.refresh_token;
    let second = refresh(&dex, &first).await.text("refresh_token");
    refresh(&dex, &first).await.assert_error(400, CLAIMED);
    refresh(&dex, &second).await.assert_tokens();
    assert_eq!(dex.counts().refreshes_presented, 3);
    assert_eq!(dex.counts().refreshes_succeeded, 2);
}

#[tokio::test]
async fn a_narrower_scope_counts_for_one_refresh_only() {
    let dex = dex().await;
    let first = login(&dex).await.refresh_token;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", first.as_str()),
        ("scope", "openid email"),
    ];
    let narrow = token(&dex, MUSTER, &form).await;
    narrow.assert_tokens();
    let narrow_claims = claims(&narrow.text("id_token"));
    assert_eq!(
        (narrow_claims.get("groups"), narrow_claims.get("name")),
        (None, None)
    );
    assert_eq!(narrow_claims["email"], EMAIL);
    let full = claims(
        &refresh(&dex, &narrow.text("refresh_token"))
            .await
            .text("id_token"),
    );
    assert_eq!(
        (&full["groups"][0], &full["name"]),
        (&"team-a".into(), &"admin".into())
    );
}

#[tokio::test]
async fn groups_are_read_again_at_a_refresh() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.set_groups(EMAIL, &["team-b", "team-c"]);
    let answer = refresh(&dex, &tokens.refresh_token).await;
    assert_eq!(
        claims(&answer.text("id_token"))["groups"],
        serde_json::json!(["team-b", "team-c"])
    );
}

#[tokio::test]
async fn inside_the_reuse_interval_of_the_login_the_same_token_comes_back() {
    let dex = dex_with_reuse(3).await;
    let first = login(&dex).await.refresh_token;
    assert_eq!(refresh(&dex, &first).await.text("refresh_token"), first);
    dex.clock().advance(Duration::from_millis(3200));
    assert_ne!(refresh(&dex, &first).await.text("refresh_token"), first);
}

#[tokio::test]
async fn inside_the_reuse_interval_old_and_new_token_give_the_same_new_token() {
    let dex = dex_with_reuse(3).await;
    let first = login(&dex).await.refresh_token;
    dex.clock().advance(Duration::from_millis(3200));
    let second = refresh(&dex, &first).await.text("refresh_token");
    dex.clock().advance(Duration::from_millis(1000));
    assert_eq!(refresh(&dex, &first).await.text("refresh_token"), second);
    assert_eq!(refresh(&dex, &second).await.text("refresh_token"), second);
}

#[tokio::test]
async fn the_reuse_interval_covers_only_the_one_previous_token() {
    let dex = dex_with_reuse(3).await;
    let first = login(&dex).await.refresh_token;
    dex.clock().advance(Duration::from_millis(3200));
    let second = refresh(&dex, &first).await.text("refresh_token");
    dex.clock().advance(Duration::from_millis(3200));
    let third = refresh(&dex, &second).await.text("refresh_token");
    assert_eq!(refresh(&dex, &second).await.text("refresh_token"), third);
    refresh(&dex, &first).await.assert_error(400, CLAIMED);
}

#[tokio::test]
async fn after_the_reuse_interval_the_old_token_is_400() {
    let dex = dex_with_reuse(3).await;
    let first = login(&dex).await.refresh_token;
    dex.clock().advance(Duration::from_millis(3200));
    refresh(&dex, &first).await.assert_tokens();
    dex.clock().advance(Duration::from_millis(3200));
    refresh(&dex, &first).await.assert_error(400, CLAIMED);
}

async fn twenty_at_once(dex: &FakeDex, refresh_token: &str) -> Vec<Answer> {
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
            tokio::spawn(Answer::of(super::peer::token_request(dex, MUSTER, &form)))
        })
        .collect();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(request.await.unwrap().unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_parallel_refreshes_without_reuse_exactly_one_succeeds() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    let answers = twenty_at_once(&dex, &tokens.refresh_token).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!((good.len(), bad.len()), (1, 19));
    for answer in bad {
        answer.assert_error(400, CLAIMED);
    }
    assert_eq!(dex.counts_of(EMAIL).refreshes_presented, 20);
    assert_eq!(dex.counts_of(EMAIL).refreshes_succeeded, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_parallel_refreshes_with_reuse_all_succeed_with_one_new_token() {
    let dex = dex_with_reuse(60).await;
    let tokens = login(&dex).await;
    dex.clock().advance(Duration::from_secs(61));
    let answers = twenty_at_once(&dex, &tokens.refresh_token).await;
    let good = answers.iter().filter(|answer| answer.status.is_success()).count();
    assert_eq!(good, 20);
    let new: HashSet<String> = answers
        .iter()
        .map(|answer| answer.text("refresh_token"))
        .collect();
    assert_eq!(new.len(), 1);
    assert!(!new.contains(&tokens.refresh_token));
}

#[tokio::test]
async fn with_rotation_off_the_token_stays_the_same() {
    let mut config = config();
    config.refresh_tokens.rotation = false;
    let dex = FakeDex::start(config).await.unwrap();
    let first = login(&dex).await.refresh_token;
    for _ in 0..2 {
        assert_eq!(refresh(&dex, &first).await.text("refresh_token"), first);
    }
}

#[tokio::test]
async fn a_token_unused_for_too_long_is_400_expired() {
    let dex = dex().await;
    let policy = RefreshTokenPolicy {
        valid_if_not_used_for: Duration::from_secs(15),
        ..Default::default()
    };
    dex.set_refresh_tokens(policy);
    let first = login(&dex).await.refresh_token;
    dex.clock().advance(Duration::from_secs(11));
    let second = refresh(&dex, &first).await.text("refresh_token");
    dex.clock().advance(Duration::from_secs(16));
    refresh(&dex, &second).await.assert_error(400, EXPIRED);
}

#[tokio::test]
async fn refreshes_do_not_extend_the_absolute_lifetime() {
    let dex = dex().await;
    let policy = RefreshTokenPolicy {
        absolute_lifetime: Duration::from_secs(15),
        ..Default::default()
    };
    dex.set_refresh_tokens(policy);
    let first = login(&dex).await.refresh_token;
    dex.clock().advance(Duration::from_secs(11));
    let second = refresh(&dex, &first).await.text("refresh_token");
    dex.clock().advance(Duration::from_secs(5));
    refresh(&dex, &second).await.assert_error(400, EXPIRED);
}

#[tokio::test]
async fn a_broken_upstream_is_500_every_time_and_costs_no_token() {
    let dex = dex().await;
    let tokens = login(&dex).await;
    dex.set_upstream_broken(EMAIL, true);
    for _ in 0..2 {
        refresh(&dex, &tokens.refresh_token)
            .await
            .assert_error(500, r#"{"error":"invalid_request"}"#);
    }
    dex.set_upstream_broken(EMAIL, false);
    refresh(&dex, &tokens.refresh_token).await.assert_tokens();
}
