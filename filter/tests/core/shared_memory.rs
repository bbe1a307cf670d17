use std::rc::Rc;

use tokenward_filter::host::{Claim, Host, Level};
use tokenward_filter::identity::{PairKey, SessionSource};
use tokenward_filter::pair::memory;
use tokenward_filter::pair::slot::{Entry, Throttle};
use tokenward_filter::pair::throttle::note_refusals;
use tokenward_protocol::refusal::Refusal;

use crate::host::{FakeHost, HostOf, START_MS};

fn pair() -> PairKey {
    PairKey::new("kubernetes", SessionSource::Handle("alice"))
}

fn note(host: &HostOf) -> Result<Level, memory::Contended> {
    memory::update(host, &pair(), |slot| {
        let before = slot.throttle(pair().bytes());
        let (after, line) = note_refusals(
            before.as_ref(),
            *pair().bytes(),
            Refusal::NeedsLogin,
            1,
            true,
            60_000,
            START_MS,
        );
        slot.put(Entry::Throttle(after));
        (true, line.level)
    })
}

fn throttle(host: &HostOf) -> Throttle {
    memory::read(host, &pair())
        .throttle(pair().bytes())
        .expect("a throttle")
}

/// The race that matters: worker B writes between worker A's read and A's compare-and-set, at A's first and second try.
#[test]
fn two_workers_that_write_at_once_make_one_warning_and_lose_no_count() {
    for steal_at in [1, 2] {
        let host = HostOf(Rc::new(FakeHost::default()));
        if steal_at == 2 {
            assert_eq!(note(&host), Ok(Level::Warn));
        }
        *host.0.before_write.borrow_mut() = Some(Box::new(move |fake, writes| {
            if writes == steal_at {
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
    let host = HostOf(Rc::new(FakeHost::default()));
    note(&host).unwrap();
    *host.0.before_write.borrow_mut() = Some(Box::new(|fake, _| {
        for value in fake.shared.borrow_mut().values_mut() {
            value.cas += 1;
        }
    }));
    assert_eq!(note(&host), Err(memory::Contended));
    assert_eq!(host.0.writes.get(), 1 + 16);
    host.0.shared_fails.set(true);
    assert_eq!(note(&host), Err(memory::Contended));
    assert!(memory::read(&host, &pair()).is_empty());
}

#[test]
fn an_answer_that_needs_no_write_writes_nothing() {
    let host = HostOf(Rc::new(FakeHost::default()));
    assert_eq!(memory::update(&host, &pair(), |_| (false, 7)), Ok(7));
    assert_eq!(host.0.writes.get(), 0);
}

#[test]
fn a_hundred_thousand_pairs_use_a_bounded_number_of_keys_and_bytes() {
    let host = HostOf(Rc::new(FakeHost::default()));
    for number in 0..100_000 {
        let pair = PairKey::new("kubernetes", SessionSource::Handle(&format!("session-{number}")));
        let _ = memory::update(&host, &pair, |slot| {
            let (after, _) = note_refusals(
                None,
                *pair.bytes(),
                Refusal::NeedsLogin,
                1,
                true,
                60_000,
                START_MS,
            );
            slot.put(Entry::Throttle(after));
            (true, ())
        });
    }
    let shared = host.0.shared.borrow();
    assert!(shared.len() <= 1024, "{}", shared.len());
    let bytes: usize = shared.values().map(|value| value.bytes.len()).sum();
    assert!(bytes <= 1024 * (1 + 16 * 48), "{bytes}");
}

#[test]
fn the_fake_host_claims_as_the_real_one_does() {
    let host = HostOf(Rc::new(FakeHost::default()));
    assert!(host.set_shared("k", b"1", Claim::Absent).is_ok());
    assert!(host.set_shared("k", b"2", Claim::Absent).is_err());
    let cas = host.shared("k").unwrap().unwrap().cas;
    assert!(host.set_shared("k", b"2", Claim::Unchanged(cas)).is_ok());
    assert!(host.set_shared("k", b"3", Claim::Unchanged(cas)).is_err());
}
