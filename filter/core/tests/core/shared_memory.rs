use std::collections::BTreeSet;
use std::rc::Rc;

use tokenward_filter_core::host::{Host, SharedValue, WriteCondition};
use tokenward_filter_core::identity::{PairKey, SessionSource};
use tokenward_filter_core::log::{Level, Refusals};
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::pair::memory::{NotStored, PairMemory};
use tokenward_filter_core::pair::record::{Record, Spans};
use tokenward_filter_core::pair::slot::{MOST_BYTES, SLOTS};
use tokenward_filter_core::pair::throttle::Throttle;
use tokenward_protocol::refusal::Refusal;

use crate::host::{FakeHost, HostOf, START_MS};

const SALT: &str = "tokenward/salt";

fn pair() -> PairKey {
    PairKey::new("kubernetes", SessionSource::Handle("alice"))
}

fn host() -> HostOf {
    HostOf(Rc::new(FakeHost::default()))
}

fn memory() -> PairMemory {
    PairMemory::new(Spans {
        longest_held_ms: 300_000,
        warn_every_ms: 60_000,
    })
}

fn refused(record: &mut Record) -> (bool, Level) {
    let refusals = Refusals::one(Refusal::NeedsLogin, McpMethod::NONE);
    (true, record.note_refusals(refusals, 60_000, START_MS).level)
}

fn note(host: &HostOf) -> Result<Level, NotStored> {
    memory().update(host, &pair(), START_MS, refused)
}

/// The first write of an Envoy makes the salt: here that of another pair.
fn make_salt(host: &HostOf) {
    let other = PairKey::new("kubernetes", SessionSource::Handle("bob"));
    memory()
        .update(host, &other, START_MS, refused)
        .expect("the first write");
}

fn throttle(host: &HostOf) -> Throttle {
    memory().read(host, &pair()).throttle
}

/// The race that matters: worker B writes between worker A's read and A's compare-and-set, at A's first and second try.
#[test]
fn two_workers_that_write_at_once_make_one_warning_and_lose_no_count() {
    for steal_at in [1, 2] {
        let host = host();
        make_salt(&host);
        let salted = host.0.writes.get();
        if steal_at == 2 {
            assert_eq!(note(&host), Ok(Level::Warn));
        }
        *host.0.before_write.borrow_mut() = Some(Box::new(move |fake, writes| {
            if writes == salted + steal_at {
                fake.before_write.borrow_mut().take();
                let thief = HostOf(Rc::new(FakeHost::default()));
                *thief.0.shared.borrow_mut() = fake.shared.borrow().clone();
                thief.0.cas.set(fake.cas.get() + 100);
                note(&thief).expect("the thief writes");
                *fake.shared.borrow_mut() = thief.0.shared.borrow().clone();
                fake.cas.set(thief.0.cas.get());
            }
        }));
        let level = note(&host).expect("a write");
        assert_eq!(level, Level::Debug, "the other worker had the warning");
        assert_eq!(throttle(&host).suppressed, u32::try_from(steal_at).unwrap());
    }
}

#[test]
fn a_host_that_always_loses_or_fails_gives_up_quietly() {
    let host = host();
    note(&host).unwrap();
    let before = host.0.writes.get();
    *host.0.before_write.borrow_mut() = Some(Box::new(|fake, _| {
        for value in fake.shared.borrow_mut().values_mut() {
            value.cas += 1;
        }
    }));
    assert_eq!(note(&host), Err(NotStored));
    assert_eq!(host.0.writes.get(), before + 16);
    host.0.shared_fails.set(true);
    assert_eq!(note(&host), Err(NotStored));
    assert_eq!(memory().read(&host, &pair()), Record::new(*pair().bytes()));
}

#[test]
fn a_change_that_needs_no_write_and_a_blank_record_write_nothing() {
    let host = host();
    assert_eq!(memory().update(&host, &pair(), START_MS, |_| (false, 7)), Ok(7));
    assert_eq!(host.0.writes.get(), 0, "not even the salt");
    make_salt(&host);
    let before = host.0.writes.get();
    assert_eq!(memory().update(&host, &pair(), START_MS, |_| (false, 7)), Ok(7));
    assert_eq!(memory().update(&host, &pair(), START_MS, |_| (true, 8)), Ok(8));
    assert_eq!(host.0.writes.get(), before);
}

#[test]
fn a_pair_with_a_blank_record_gives_its_place_back() {
    let host = host();
    note(&host).unwrap();
    let minute_later_ms = START_MS + 60_000;
    let forget = |record: &mut Record| {
        record.throttle = Throttle::default();
        (true, ())
    };
    memory().update(&host, &pair(), minute_later_ms, forget).unwrap();
    let shared = host.0.shared.borrow();
    let slots: Vec<usize> = shared
        .iter()
        .filter(|(key, _)| key.starts_with("tokenward/pairs/"))
        .map(|(_, value)| value.bytes.len())
        .collect();
    assert_eq!(slots, [1], "a version and nothing else");
}

#[test]
fn the_first_worker_makes_the_salt_and_all_others_use_it_even_when_they_come_at_once() {
    let host = host();
    host.0.random.set([1; 16]);
    *host.0.before_write.borrow_mut() = Some(Box::new(|fake, writes| {
        if writes == 1 {
            let other = HostOf(Rc::new(FakeHost::default()));
            other.0.random.set([2; 16]);
            note(&other).unwrap();
            *fake.shared.borrow_mut() = other.0.shared.borrow().clone();
        }
    }));
    assert_eq!(note(&host), Ok(Level::Debug), "it finds what the other one wrote");
    let salt = host.0.shared.borrow()[SALT].bytes.clone();
    assert_eq!(salt, [&[1][..], &[2; 16]].concat());
    // A module that comes later, or a VM after a reload, has other random bytes and finds the same slots.
    host.0.random.set([3; 16]);
    assert_eq!(note(&host), Ok(Level::Debug));
    assert_eq!(throttle(&host).suppressed, 2);
}

#[test]
fn a_salt_of_another_format_is_replaced() {
    for found in [&b""[..], &[1; 16], &[2; 17], &[1; 40]] {
        let host = host();
        let value = SharedValue {
            bytes: found.to_vec(),
            cas: 9,
        };
        host.0.shared.borrow_mut().insert(SALT.to_owned(), value);
        host.0.random.set([7; 16]);
        assert_eq!(note(&host), Ok(Level::Warn));
        assert_eq!(host.0.shared.borrow()[SALT].bytes, [&[1][..], &[7; 16]].concat());
    }
}

#[test]
fn pairs_that_share_a_slot_under_one_salt_are_spread_under_another() {
    let slots_of = |salt: u8, pairs: &[PairKey]| -> BTreeSet<String> {
        let host = host();
        host.0.random.set([salt; 16]);
        let memory = memory();
        for pair in pairs {
            memory.update(&host, pair, START_MS, refused).unwrap();
        }
        let shared = host.0.shared.borrow();
        shared
            .keys()
            .filter(|key| key.starts_with("tokenward/pairs/"))
            .cloned()
            .collect()
    };
    let candidates =
        (0..60_000).map(|n| PairKey::new("kubernetes", SessionSource::Handle(&format!("h-{n}"))));
    let aimed: Vec<PairKey> = candidates
        .filter(|pair| slots_of(1, &[*pair]).contains("tokenward/pairs/77"))
        .take(12)
        .collect();
    assert_eq!((aimed.len(), slots_of(1, &aimed).len()), (12, 1));
    assert!(slots_of(2, &aimed).len() >= 10);
}

#[test]
fn a_hundred_thousand_pairs_use_a_bounded_number_of_keys_and_bytes() {
    let (host, memory) = (host(), memory());
    for number in 0..100_000 {
        let pair = PairKey::new("kubernetes", SessionSource::Handle(&format!("session-{number}")));
        let _ = memory.update(&host, &pair, START_MS, refused);
    }
    let shared = host.0.shared.borrow();
    assert!(shared.len() <= usize::from(SLOTS) + 1, "{}", shared.len());
    let largest = shared.values().map(|value| value.bytes.len()).max();
    assert!(largest <= Some(MOST_BYTES), "{largest:?}");
}

#[test]
fn the_fake_host_claims_as_the_real_one_does() {
    let host = host();
    assert!(host.set_shared("k", b"1", WriteCondition::Absent).is_ok());
    assert!(host.set_shared("k", b"2", WriteCondition::Absent).is_err());
    let cas = host.shared("k").unwrap().unwrap().cas;
    assert!(host.set_shared("k", b"2", WriteCondition::Unchanged(cas)).is_ok());
    assert!(
        host.set_shared("k", b"3", WriteCondition::Unchanged(cas))
            .is_err()
    );
}
