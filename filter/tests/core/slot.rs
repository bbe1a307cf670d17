use proptest::prelude::*;
use tokenward_filter::pair::slot::{ENTRIES, Entry, Gate, Slot, Throttle};

fn gates() -> impl Strategy<Value = Entry> {
    (
        any::<[u8; 16]>(),
        any::<u8>(),
        any::<u16>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(
            |(key, refusal, failures, closed_until_ms, probe_until_ms, touched_ms)| {
                Entry::Gate(Gate {
                    key,
                    refusal,
                    failures,
                    closed_until_ms,
                    probe_until_ms,
                    touched_ms,
                })
            },
        )
}

fn throttles() -> impl Strategy<Value = Entry> {
    (
        any::<[u8; 16]>(),
        any::<bool>(),
        any::<u8>(),
        any::<u32>(),
        any::<u32>(),
        any::<u64>(),
        any::<u64>(),
    )
        .prop_map(
            |(key, warned, refusal, suppressed, in_a_row, last_warn_ms, touched_ms)| {
                Entry::Throttle(Throttle {
                    key,
                    warned,
                    refusal,
                    suppressed,
                    in_a_row,
                    last_warn_ms,
                    touched_ms,
                })
            },
        )
}

fn filled(entries: impl IntoIterator<Item = Entry>) -> Slot {
    let mut slot = Slot::default();
    entries.into_iter().for_each(|entry| slot.put(entry));
    slot
}

fn gate(key: u8, touched_ms: u64) -> Gate {
    Gate {
        key: [key; 16],
        refusal: 5,
        failures: 1,
        closed_until_ms: 1,
        probe_until_ms: 2,
        touched_ms,
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(entries in prop::collection::vec(prop_oneof![gates(), throttles()], 0..40)) {
        let slot = filled(entries);
        prop_assert!(slot.len() <= ENTRIES);
        prop_assert_eq!(Slot::decode(&slot.encode()), slot);
    }

    #[test]
    fn no_bytes_panic_and_none_make_a_larger_slot(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Slot::decode(&bytes).len() <= ENTRIES);
    }
}

#[test]
fn another_version_a_torn_value_and_an_unknown_kind_count_as_empty() {
    let good = filled([Entry::Gate(gate(1, 1))]).encode();
    let mut older = good.clone();
    older[0] = 0;
    let mut unknown = good.clone();
    unknown[17] = 9;
    for bytes in [&older[..], &unknown, &good[..good.len() - 1], &[], &[1, 2, 3]] {
        assert!(Slot::decode(bytes).is_empty());
    }
    assert_eq!(Slot::decode(&good).gate(&[1; 16]), Some(gate(1, 1)));
}

#[test]
fn a_full_slot_forgets_its_oldest_gate_first_and_a_throttle_last() {
    let throttle = Throttle {
        key: [200; 16],
        warned: true,
        refusal: 5,
        suppressed: 3,
        in_a_row: 4,
        last_warn_ms: 1,
        touched_ms: 0,
    };
    let gates = (0..u8::try_from(ENTRIES).unwrap()).map(|key| Entry::Gate(gate(key, 100 + u64::from(key))));
    let slot = filled(std::iter::once(Entry::Throttle(throttle)).chain(gates));
    assert_eq!(slot.len(), ENTRIES);
    assert_eq!(slot.throttle(&[200; 16]), Some(throttle));
    assert_eq!(slot.gate(&[0; 16]), None);
    assert!(slot.gate(&[1; 16]).is_some());
}

#[test]
fn a_slot_of_throttles_only_still_takes_a_new_one() {
    let throttle = |key: u8| Throttle {
        key: [key; 16],
        warned: true,
        refusal: 5,
        suppressed: 3,
        in_a_row: 4,
        last_warn_ms: 1,
        touched_ms: u64::from(key),
    };
    let slot = filled((0..20).map(|key| Entry::Throttle(throttle(key))));
    assert_eq!(slot.len(), ENTRIES);
    assert!(slot.throttle(&[19; 16]).is_some());
    assert_eq!(slot.throttle(&[3; 16]), None);
}
