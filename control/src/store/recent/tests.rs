//! What is held is used only while the store is known to report changes, and never after one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ENTRY_LIFETIME, MAX_BYTES, PROOF_LIFETIME, RecentReads};
use crate::store::{Entry, Revision};

const KEY: &str = "tokenward:{g:~alice}";
const FIRST: u64 = 1;
const SECOND: u64 = 2;

fn entry(value: &[u8]) -> Option<Entry> {
    Some(Entry {
        revision: Revision(7),
        value: value.to_vec(),
    })
}

/// Entries on the connection [`FIRST`], which answered at `now`.
fn connected(now: Instant) -> Arc<RecentReads> {
    let recent = Arc::new(RecentReads::default());
    recent.begin(FIRST);
    recent.proved(FIRST, now);
    recent
}

fn read(recent: &Arc<RecentReads>, key: &str, value: &[u8], now: Instant) {
    let reading = recent.reading(key, now).expect("no other read is in progress");
    reading.hold(entry(value));
}

fn value(recent: &RecentReads, now: Instant) -> Option<Vec<u8>> {
    let found = recent.get(KEY, now)?;
    found.entry().map(|entry| entry.value.clone())
}

#[test]
fn what_was_read_is_used_until_its_key_changes() {
    let now = Instant::now();
    let recent = connected(now);
    assert!(recent.get(KEY, now).is_none());
    read(&recent, KEY, b"one", now);
    assert_eq!(value(&recent, now).as_deref(), Some(&b"one"[..]));
    recent.changed("tokenward:{g:~bob}");
    assert!(value(&recent, now).is_some());
    recent.changed(KEY);
    assert!(recent.get(KEY, now).is_none());
    assert_eq!(recent.bytes(), 0);
}

#[test]
fn absence_is_held_too_and_has_no_decoded_form() {
    let now = Instant::now();
    let recent = connected(now);
    recent.reading(KEY, now).expect("first").hold(None);
    let found = recent.get(KEY, now).expect("held");
    assert!(found.entry().is_none());
    assert!(found.decoded(|_| ()).is_none());
}

#[test]
fn a_read_that_began_before_a_change_is_not_held() {
    let now = Instant::now();
    let changes: [fn(&RecentReads); 4] = [
        |recent| recent.changed(KEY),
        RecentReads::all_changed,
        |recent| recent.end(FIRST),
        |recent| recent.begin(SECOND),
    ];
    for change in changes {
        let recent = connected(now);
        let reading = recent.reading(KEY, now).expect("first");
        change(&recent);
        reading.hold(entry(b"old"));
        recent.begin(SECOND);
        recent.proved(SECOND, now);
        assert!(recent.get(KEY, now).is_none());
        assert_eq!(recent.bytes(), 0);
    }
}

#[test]
fn a_read_after_the_change_is_held_although_one_from_before_ends_later() {
    let now = Instant::now();
    let recent = connected(now);
    let before = recent.reading(KEY, now).expect("first");
    recent.changed(KEY);
    read(&recent, KEY, b"new", now);
    before.hold(entry(b"old"));
    assert_eq!(value(&recent, now).as_deref(), Some(&b"new"[..]));
}

#[test]
fn of_two_reads_at_once_one_is_held_and_a_broken_off_one_leaves_nothing() {
    let now = Instant::now();
    let recent = connected(now);
    let first = recent.reading(KEY, now).expect("first");
    assert!(recent.reading(KEY, now).is_none());
    drop(first);
    assert_eq!(recent.state().slots.len(), 0);
    assert!(recent.reading(KEY, now).is_some());
}

#[test]
fn without_a_recent_answer_nothing_is_used() {
    let now = Instant::now();
    let recent = connected(now);
    read(&recent, KEY, b"one", now);
    assert!(value(&recent, now + PROOF_LIFETIME).is_some());
    let late = now + PROOF_LIFETIME + Duration::from_millis(1);
    assert!(value(&recent, late).is_none());
    // An answer to a later command shows that no change was missed.
    recent.proved(FIRST, late);
    assert!(value(&recent, late).is_some());
    // One that was sent earlier proves less.
    recent.proved(FIRST, now);
    assert!(value(&recent, late + PROOF_LIFETIME).is_some());
    // One of another connection proves nothing.
    recent.proved(SECOND, late + PROOF_LIFETIME * 2);
    assert!(value(&recent, late + PROOF_LIFETIME * 2).is_none());
}

#[test]
fn an_entry_is_used_for_a_second_however_often_the_store_answers() {
    let now = Instant::now();
    let recent = connected(now);
    read(&recent, KEY, b"one", now);
    recent.proved(FIRST, now + ENTRY_LIFETIME);
    assert!(value(&recent, now + ENTRY_LIFETIME).is_some());
    let late = now + ENTRY_LIFETIME + Duration::from_millis(1);
    recent.proved(FIRST, late);
    assert!(value(&recent, late).is_none());
    assert!(recent.bytes() > 0);
    recent.sweep(late);
    assert_eq!(recent.bytes(), 0);
}

#[test]
fn nothing_outlives_its_connection() {
    let now = Instant::now();
    let recent = connected(now);
    read(&recent, KEY, b"one", now);
    recent.end(FIRST);
    recent.proved(FIRST, now);
    assert!(value(&recent, now).is_none());
    assert!(recent.reading(KEY, now).is_none());
    recent.begin(SECOND);
    recent.proved(SECOND, now);
    assert!(value(&recent, now).is_none());
    read(&recent, KEY, b"two", now);
    // The end of the connection before is reported late.
    recent.end(FIRST);
    assert_eq!(value(&recent, now).as_deref(), Some(&b"two"[..]));
}

#[test]
fn a_value_is_decoded_once() {
    let now = Instant::now();
    let recent = connected(now);
    read(&recent, KEY, b"one", now);
    for _ in 0..2 {
        let found = recent.get(KEY, now).expect("held");
        let decoded = found.decoded(|entry| entry.value.len());
        assert_eq!(decoded.as_deref(), Some(&3));
        // A second decoder is never run.
        assert_eq!(found.decoded(|_| 0_usize).as_deref(), Some(&3));
    }
}

#[test]
fn all_entries_together_are_bounded_and_old_ones_give_way() {
    let now = Instant::now();
    let recent = connected(now);
    let value = vec![0; 10_000];
    let name = |number: usize| format!("tokenward:{{g:{number}}}");
    for number in 0..2_000 {
        read(&recent, &name(number), &value, now);
        assert!(recent.bytes() <= MAX_BYTES);
    }
    let held = (0..2_000).filter(|number| recent.get(&name(*number), now).is_some());
    let held = held.count();
    assert!((100..2_000).contains(&held), "{held}");
    assert_eq!(recent.state().slots.len(), held);
    // What is held is not displaced by what comes later, until it is old.
    let late = now + ENTRY_LIFETIME + Duration::from_millis(1);
    recent.proved(FIRST, late);
    read(&recent, KEY, &value, late);
    assert!(recent.get(KEY, late).is_some());
    assert_eq!(recent.state().slots.len(), 1);
}
