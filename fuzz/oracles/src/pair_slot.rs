//! The pairs' shared memory: its format, the gate and the log throttle, over arbitrary bytes and arbitrary histories.

use tokenward_filter::config::GateTimes;
use tokenward_filter::pair::gate::{Admission, admit, claim_probe, close, longest_held_ms, longest_ms, open};
use tokenward_filter::pair::slot::{ENTRIES, Entry, Gate, Slot, Throttle};
use tokenward_filter::pair::throttle::{note_refusals, note_success};
use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::deal::Deal;

mod history;

/// `r` and the bytes of a slot, `n` and arbitrary numbers, or a history of what workers do to one slot.
pub fn pair_slot(data: &[u8]) {
    match data.split_first() {
        Some((b'r', slot)) => any_bytes(slot),
        Some((b'n', numbers)) => any_numbers(&mut Deal::new(numbers)),
        Some((_, history)) => history::any_history(&mut Deal::new(history)),
        None => any_bytes(data),
    }
}

fn any_bytes(bytes: &[u8]) {
    let mut slot = Slot::decode(bytes);
    reads_back(&slot);
    // Whatever was there, an entry that is put can be found.
    let entry = any_gate(&mut Deal::new(bytes), [7; 16]);
    slot.put(Entry::Gate(entry));
    assert_eq!(slot.gate(&[7; 16]), Some(entry));
    reads_back(&slot);
}

fn reads_back(slot: &Slot) {
    assert!(slot.len() <= ENTRIES);
    assert_eq!(Slot::decode(&slot.encode()), *slot);
}

/// Numbers that no worker would write, but another version of the filter or a clock gone wild could.
fn any_numbers(deal: &mut Deal<'_>) {
    let times = GateTimes {
        transient_first_ms: deal.number(),
        transient_longest_ms: deal.number(),
        login_first_ms: deal.number(),
        login_longest_ms: deal.number(),
        misconfigured_ms: deal.number(),
    };
    let (before, now_ms, pause_ms) = (any_gate(deal, [1; 16]), deal.number(), deal.number());
    let held_ms = longest_held_ms(&times, pause_ms);
    may_wait(admit(Some(&before), now_ms, held_ms), held_ms);
    let claimed = claim_probe(before, now_ms, pause_ms);
    may_wait(admit(Some(&claimed), now_ms, held_ms), held_ms);
    let (asked_ms, jitter) = (deal.number(), deal.number());
    let before = deal.yes().then_some(before);
    let refusal = any_refusal(deal);
    let closed = close(
        before.as_ref(),
        [1; 16],
        refusal,
        asked_ms,
        &times,
        now_ms,
        jitter,
    );
    closed_no_longer_than_allowed(&closed, &times, now_ms);
    assert_eq!(
        admit(Some(&open(&closed, now_ms)), now_ms, held_ms),
        Admission::Open
    );
    let throttle = any_throttle(deal, [1; 16]);
    let throttle = deal.yes().then_some(throttle);
    let count = u32::try_from(deal.number() >> 32).unwrap_or(0);
    let (after, line) = note_refusals(
        throttle.as_ref(),
        [1; 16],
        refusal,
        count,
        deal.yes(),
        deal.number(),
        now_ms,
    );
    assert!(line.in_a_row >= count);
    if let Some((recovered, _)) = note_success(&after, now_ms) {
        assert_eq!(note_success(&recovered, now_ms), None);
    }
}

fn closed_no_longer_than_allowed(gate: &Gate, times: &GateTimes, now_ms: u64) {
    let closed_ms = gate.closed_until_ms.saturating_sub(now_ms);
    assert!(closed_ms <= longest_ms(times), "{closed_ms} ms with {times:?}");
    assert!(gate.failures > 0);
}

fn may_wait(admission: Admission, held_ms: u64) {
    if let Admission::Closed { retry_after_ms, .. } = admission {
        assert!((1..=held_ms.saturating_mul(2)).contains(&retry_after_ms));
    }
}

fn any_refusal(deal: &mut Deal<'_>) -> Refusal {
    Refusal::ALL[usize::from(deal.byte()) % Refusal::ALL.len()]
}

fn any_gate(deal: &mut Deal<'_>, key: [u8; 16]) -> Gate {
    Gate {
        key,
        refusal: deal.byte(),
        failures: deal.short(),
        closed_until_ms: deal.number(),
        probe_until_ms: deal.number(),
        touched_ms: deal.number(),
    }
}

fn any_throttle(deal: &mut Deal<'_>, key: [u8; 16]) -> Throttle {
    Throttle {
        key,
        warned: deal.yes(),
        refusal: deal.byte(),
        suppressed: deal.number() as u32,
        in_a_row: deal.number() as u32,
        last_warn_ms: deal.number(),
        touched_ms: deal.number(),
    }
}

fn longest_of_class(times: &GateTimes, refusal: Refusal) -> u64 {
    match refusal.class() {
        RefusalClass::LoginNeeded => times.login_longest_ms,
        RefusalClass::Transient => times.transient_longest_ms,
        RefusalClass::Misconfigured => times.misconfigured_ms,
    }
}
