//! What control remembers of the documents that it fetched, and of those that it could not fetch.

use std::time::Duration;

use tokenward_control::authorization::client::metadata_document::cache::{
    DocumentCache, KEPT, LookUp, MOST_DOCUMENTS, MOST_FAILURES, PAUSE,
};

const URL: &str = "https://client.example/c";
const NOW_MS: u64 = 1_800_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_MS: u64 = 60_000;

type Cache = DocumentCache<u32, &'static str>;

#[test]
fn a_document_is_used_while_it_is_fresh_and_then_fetched_again() {
    let mut cache = Cache::default();
    assert_eq!(cache.look_up(URL, NOW_MS), LookUp::Due);
    cache.store(URL, 1, MINUTE, NOW_MS);
    assert_eq!(cache.look_up(URL, NOW_MS + MINUTE_MS - 1), LookUp::Fresh(1));
    assert_eq!(cache.look_up(URL, NOW_MS + MINUTE_MS), LookUp::Due);
    // A clock that was set back.
    assert_eq!(cache.look_up(URL, NOW_MS - 1), LookUp::Due);
}

#[test]
fn a_failure_pauses_its_url_only_and_replaces_no_copy() {
    let mut cache = Cache::default();
    cache.store(URL, 1, MINUTE, NOW_MS);
    let later_ms = NOW_MS + MINUTE_MS;
    cache.failed(URL, "down", later_ms);
    let paused = LookUp::Paused {
        error: "down",
        retry_after: PAUSE - Duration::from_secs(1),
    };
    assert_eq!(cache.look_up(URL, later_ms + 1000), paused);
    assert_eq!(cache.last_valid(URL, later_ms + 1000), Some(1));
    assert_eq!(cache.look_up("https://client.example/d", later_ms), LookUp::Due);
    let pause_ms = u64::try_from(PAUSE.as_millis()).expect("short");
    assert_eq!(cache.look_up(URL, later_ms + pause_ms), LookUp::Due);
    cache.failed("https://client.example/d", "down", later_ms);
    // A clock that was set back.
    assert_eq!(
        cache.look_up("https://client.example/d", later_ms - 1),
        LookUp::Due
    );
    cache.store(URL, 2, MINUTE, later_ms);
    assert_eq!(cache.look_up(URL, later_ms), LookUp::Fresh(2));
}

#[test]
fn the_last_valid_copy_is_kept_for_a_week() {
    let mut cache = Cache::default();
    cache.store(URL, 1, MINUTE, NOW_MS);
    let kept_ms = u64::try_from(KEPT.as_millis()).expect("short");
    assert_eq!(cache.last_valid(URL, NOW_MS + kept_ms), Some(1));
    assert_eq!(cache.last_valid(URL, NOW_MS + kept_ms + 1), None);
}

#[test]
fn an_expired_copy_is_fetched_again_but_not_one_that_was_fetched_a_moment_ago() {
    let mut cache = Cache::default();
    cache.store(URL, 1, MINUTE, NOW_MS);
    cache.expire(URL, PAUSE, NOW_MS + 29_999);
    assert_eq!(cache.look_up(URL, NOW_MS + 30_000), LookUp::Fresh(1));
    cache.expire(URL, PAUSE, NOW_MS + 30_000);
    assert_eq!(cache.look_up(URL, NOW_MS + 30_000), LookUp::Due);
    assert_eq!(cache.last_valid(URL, NOW_MS + 30_000), Some(1));
}

#[test]
fn the_least_used_document_makes_room_and_failures_are_bounded() {
    let mut cache = Cache::default();
    let url = |number: usize| format!("https://client.example/{number}");
    for number in 0..MOST_DOCUMENTS {
        cache.store(
            &url(number),
            1,
            MINUTE,
            NOW_MS + u64::try_from(number).expect("small"),
        );
    }
    let now_ms = NOW_MS + 5000;
    assert_eq!(cache.look_up(&url(0), now_ms), LookUp::Fresh(1));
    cache.store(&url(MOST_DOCUMENTS), 1, MINUTE, now_ms);
    assert_eq!(cache.last_valid(&url(0), now_ms), Some(1));
    assert_eq!(cache.last_valid(&url(1), now_ms), None);

    for number in 0..=MOST_FAILURES {
        cache.failed(&url(number + 10_000), "down", now_ms);
    }
    assert!(matches!(
        cache.look_up(&url(10_000), now_ms),
        LookUp::Paused { .. }
    ));
    assert_eq!(cache.look_up(&url(10_000 + MOST_FAILURES), now_ms), LookUp::Due);
}
