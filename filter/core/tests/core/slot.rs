use proptest::prelude::*;
use tokenward_filter_core::pair::gate::Gate;
use tokenward_filter_core::pair::record::{MOST_GATES, PAIR_CALL_MS, PAIR_CALLS, Record, Spans, Worth};
use tokenward_filter_core::pair::slot::{MOST_BYTES, PLACES, Slot};
use tokenward_filter_core::pair::throttle::Throttle;
use tokenward_protocol::refusal::Refusal;

const NOW_MS: u64 = 1_800_000_000_000;
const SPANS: Spans = Spans {
    longest_held_ms: 300_000,
    warn_every_ms: 60_000,
};

fn gates() -> impl Strategy<Value = Gate> {
    let numbers = (any::<u8>(), any::<u16>(), any::<u64>(), any::<u64>());
    (any::<[u8; 16]>(), numbers).prop_map(|(key, (refusal, failures, closed_until_ms, probe_until_ms))| {
        Gate {
            key,
            refusal,
            failures,
            closed_until_ms,
            probe_until_ms,
        }
    })
}

fn records() -> impl Strategy<Value = Record> {
    let numbers = (
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    );
    let gates = prop::collection::vec(gates(), 0..6);
    (any::<[u8; 16]>(), any::<(bool, u8)>(), numbers, gates).prop_map(
        |(key, (warned, refusal), (suppressed, in_a_row, last_warn_ms, whole_at_ms, touched_ms), gates)| {
            let mut record = Record::new(key);
            record.throttle = Throttle {
                warned,
                refusal,
                suppressed,
                in_a_row,
                last_warn_ms,
            };
            record.calls.whole_at_ms = whole_at_ms;
            record.touched_ms = touched_ms;
            gates.into_iter().for_each(|gate| record.put_gate(gate));
            record
        },
    )
}

fn gate(key: u8, refusal: Refusal, closed_until_ms: u64) -> Gate {
    Gate {
        key: [key; 16],
        refusal: refusal.code(),
        failures: 1,
        closed_until_ms,
        probe_until_ms: 0,
    }
}

fn closed(key: u8, refusal: Refusal) -> Record {
    let mut record = Record::new([key; 16]);
    record.touched_ms = NOW_MS;
    record.put_gate(gate(1, refusal, NOW_MS + 5_000));
    record
}

fn warned(key: u8) -> Record {
    let mut record = Record::new([key; 16]);
    record.touched_ms = NOW_MS;
    record.throttle.last_warn_ms = NOW_MS - 1_000;
    record
}

/// A full slot: one idle record, then ones that were warned about, then closed ones; each a minute younger than the
/// one before.
fn full() -> Slot {
    let mut slot = Slot::default();
    for key in 0..u8::try_from(PLACES).unwrap() {
        let mut record = match key {
            0 => Record::new([key; 16]),
            1..=4 => warned(key),
            5..=9 => closed(key, Refusal::SubjectRejected),
            _ => closed(key, Refusal::NeedsLogin),
        };
        record.touched_ms = NOW_MS - 600_000 + u64::from(key);
        assert!(slot.put(&record, SPANS, NOW_MS));
    }
    slot
}

proptest! {
    #[test]
    fn what_is_written_reads_back(records in prop::collection::vec(records(), 0..40), now_ms: u64) {
        let mut slot = Slot::default();
        for record in records {
            slot.put(&record, SPANS, now_ms);
        }
        prop_assert!(slot.len() <= PLACES && slot.clone().encode().len() <= MOST_BYTES);
        prop_assert_eq!(Slot::decode(slot.clone().encode()), slot);
    }

    #[test]
    fn no_bytes_panic_and_none_make_a_larger_slot(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
        for version in 0..=3 {
            let slot = Slot::decode([&[version], &bytes[..]].concat());
            prop_assert!(slot.len() <= PLACES);
        }
    }
}

#[test]
fn another_version_a_torn_value_and_too_many_gates_count_as_empty() {
    let mut slot = Slot::default();
    assert!(slot.put(&closed(1, Refusal::NeedsLogin), SPANS, NOW_MS));
    let good = slot.encode();
    let mut older = good.clone();
    older[0] = 1;
    let mut many = good.clone();
    many[1 + 16 + 2] = 200;
    for bytes in [&older[..], &many, &good[..good.len() - 1], &[], &[1, 2, 3]] {
        assert!(Slot::decode(bytes.to_vec()).is_empty());
    }
    assert_eq!(
        Slot::decode(good).record(&[1; 16]),
        Some(closed(1, Refusal::NeedsLogin))
    );
}

#[test]
fn a_pair_with_a_closed_gate_costs_one_place_and_88_bytes() {
    let mut slot = Slot::default();
    let mut record = closed(1, Refusal::NeedsLogin);
    record.throttle.last_warn_ms = NOW_MS;
    assert!(slot.put(&record, SPANS, NOW_MS));
    assert_eq!((slot.len(), slot.clone().encode().len()), (1, 1 + 88));
}

#[test]
fn a_full_slot_gives_up_what_is_over_first_and_a_closed_gate_never_for_another_closed_gate() {
    let mut slot = full();
    let comes = |slot: &mut Slot, key, refusal| slot.put(&closed(key, refusal), SPANS, NOW_MS);
    let gone = |slot: &Slot| {
        (0..24)
            .filter(|key| slot.record(&[*key; 16]).is_none())
            .collect::<Vec<u8>>()
    };
    let mut expected = Vec::new();
    // The idle one, then those that were warned about, oldest first.
    for key in 0..5 {
        assert!(comes(&mut slot, 100 + key, Refusal::SubjectRejected));
        expected.push(key);
        assert_eq!(gone(&slot), expected);
    }
    // A made-up token's gate finds no place; a proven one's takes the place of a made-up one's.
    assert!(!comes(&mut slot, 200, Refusal::SubjectRejected));
    assert_eq!(gone(&slot), expected);
    for key in 0..10 {
        assert!(comes(&mut slot, 210 + key, Refusal::NeedsLogin));
    }
    assert_eq!(gone(&slot), (0..10).collect::<Vec<u8>>());
    assert!(!comes(&mut slot, 230, Refusal::NeedsLogin));
    assert!(!slot.put(&warned(231), SPANS, NOW_MS));
    assert_eq!((slot.len(), gone(&slot).len()), (PLACES, 10));
    // What is there already is always written.
    assert!(comes(&mut slot, 12, Refusal::SubjectRejected));
}

#[test]
fn a_record_that_is_idle_for_a_quarter_of_an_hour_gives_up_its_place_and_its_bytes() {
    let mut slot = full();
    assert!(slot.put(&warned(100), SPANS, NOW_MS + 299_000));
    assert_eq!(slot.len(), PLACES, "the oldest gave its place up");
    assert!(slot.put(&warned(101), SPANS, NOW_MS + 301_000));
    assert_eq!(slot.len(), 2);
}

#[test]
fn a_pair_forgets_the_gate_that_opens_first_when_more_tokens_are_refused_than_it_remembers() {
    let mut record = Record::new([1; 16]);
    let opens_ms = [5_000, 1_000, 9_000, 7_000];
    for (key, opens_ms) in (0..).zip(opens_ms) {
        record.put_gate(gate(key, Refusal::NeedsLogin, NOW_MS + opens_ms));
    }
    record.put_gate(gate(9, Refusal::NeedsLogin, NOW_MS + 5_000));
    assert_eq!(record.gates().len(), MOST_GATES);
    assert!(record.gate(&[1; 16]).is_none() && record.gate(&[9; 16]).is_some());
}

#[test]
fn the_worth_of_a_record_follows_the_clock() {
    let spans = SPANS;
    let mut record = warned(1);
    assert_eq!(record.worth(spans, NOW_MS), Worth::Recent);
    assert_eq!(record.worth(spans, NOW_MS + 59_000), Worth::Idle);
    record.calls = record
        .calls
        .take(PAIR_CALL_MS, PAIR_CALLS, false, NOW_MS + 59_000)
        .unwrap();
    assert_eq!(record.worth(spans, NOW_MS + 63_000), Worth::Recent);
    record.put_gate(gate(1, Refusal::UnknownSession, NOW_MS + 70_000));
    assert_eq!(record.worth(spans, NOW_MS + 69_999), Worth::Closed);
    record.put_gate(gate(2, Refusal::NeedsLogin, NOW_MS + 65_000));
    assert_eq!(record.worth(spans, NOW_MS + 64_999), Worth::ClosedForProven);
    assert_eq!(record.worth(spans, NOW_MS + 70_000), Worth::Idle);
    // A clock that steps back holds nothing.
    assert_eq!(record.worth(spans, NOW_MS - 3_600_000), Worth::Idle);
}
