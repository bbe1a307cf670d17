//! The pairs' shared memory: its format, the gate and the log throttle, over arbitrary bytes and arbitrary histories.

use tokenward_filter_core::config::GateTimes;
use tokenward_filter_core::log::Refusals;
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::pair::allowance::Allowance;
use tokenward_filter_core::pair::gate::Gate;
use tokenward_filter_core::pair::gate::{
    Admission, ClosedGate, Closing, admit, claim_probe, close, longest_held_ms, longest_ms,
};
use tokenward_filter_core::pair::record::{MOST_GATES, PAIR_CALL_MS, PAIR_CALLS, Record, Spans};
use tokenward_filter_core::pair::slot::{MOST_BYTES, PLACES, Slot};
use tokenward_filter_core::pair::throttle::Throttle;
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
    let mut slot = Slot::decode(bytes.to_vec());
    reads_back(&slot);
    // Whatever was there, a record that found a place can be found.
    let deal = &mut Deal::new(bytes);
    let (spans, now_ms) = (any_spans(deal), deal.number());
    let record = any_record(deal, [7; 16]);
    let was_there = slot.record(&[7; 16]).is_some();
    let full = slot.len() == PLACES;
    let placed = slot.put(&record, spans, now_ms);
    assert!(placed || (full && !was_there));
    assert_eq!(slot.record(&[7; 16]), placed.then_some(record));
    reads_back(&slot);
    assert_eq!(slot.remove(&[7; 16]), placed);
    assert_eq!(slot.record(&[7; 16]), None);
    reads_back(&slot);
}

fn reads_back(slot: &Slot) {
    let bytes = slot.clone().encode();
    assert!(slot.len() <= PLACES && bytes.len() <= MOST_BYTES);
    assert_eq!(Slot::decode(bytes), *slot);
}

/// Numbers that no worker would write, but another version of the filter or a faulty clock could.
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
    let (retry_after_ms, jitter) = (deal.number(), deal.number());
    let before = deal.yes().then_some(before);
    let refusal = any_refusal(deal);
    let closing = Closing {
        key: [1; 16],
        refusal,
        retry_after_ms,
        now_ms,
        jitter,
    };
    let closed = close(before.as_ref(), &closing, &times);
    closed_no_longer_than_allowed(&closed, &times, now_ms);
    any_allowance(deal, now_ms);
    let throttle = any_throttle(deal);
    let refusals = Refusals {
        refusal,
        mcp_method: McpMethod::NONE,
        requests: u32::try_from(deal.number() >> 32).unwrap_or(0),
        may_warn: deal.yes(),
    };
    let (after, line) = throttle.refused(refusals, deal.number(), now_ms);
    assert!(line.in_a_row >= refusals.requests);
    if let Some((recovered, _)) = after.recovered() {
        assert_eq!(recovered.recovered(), None);
    }
}

fn closed_no_longer_than_allowed(gate: &Gate, times: &GateTimes, now_ms: u64) {
    let closed_ms = gate.closed_until_ms.saturating_sub(now_ms);
    assert!(closed_ms <= longest_ms(times), "{closed_ms} ms with {times:?}");
    assert!(gate.failures > 0);
}

fn may_wait(admission: Admission, held_ms: u64) {
    if let Admission::Closed(ClosedGate { retry_after_ms, .. }) = admission {
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
    }
}

fn any_throttle(deal: &mut Deal<'_>) -> Throttle {
    Throttle {
        warned: deal.yes(),
        refusal: deal.byte(),
        suppressed: deal.number() as u32,
        in_a_row: deal.number() as u32,
        last_warn_ms: deal.number(),
    }
}

fn any_spans(deal: &mut Deal<'_>) -> Spans {
    Spans {
        longest_held_ms: deal.number(),
        warn_every_ms: deal.number(),
    }
}

fn any_record(deal: &mut Deal<'_>, key: [u8; 16]) -> Record {
    let mut record = Record::new(key);
    record.throttle = any_throttle(deal);
    record.calls.whole_at_ms = deal.number();
    record.touched_ms = deal.number();
    for number in 0..deal.byte() % 8 {
        record.put_gate(any_gate(deal, [number; 16]));
    }
    assert!(record.gates().len() <= MOST_GATES);
    record
}

/// Whatever was used of it, an allowance is whole again in its own time, and never gives more than all of it.
fn any_allowance(deal: &mut Deal<'_>, now_ms: u64) {
    let mut allowance = Allowance {
        whole_at_ms: deal.number(),
    };
    for _ in 0..deal.byte() {
        let returning = deal.yes();
        match allowance.take(PAIR_CALL_MS, PAIR_CALLS, returning, now_ms) {
            Ok(after) => allowance = after,
            Err(wait_ms) => assert!((1..=PAIR_CALLS.most_ms).contains(&wait_ms)),
        }
        if deal.yes() {
            allowance = allowance.give_back(PAIR_CALL_MS, PAIR_CALLS, now_ms);
        }
    }
    let later_ms = now_ms.saturating_add(PAIR_CALLS.most_ms);
    // A moment further ahead counts as none, until the clock comes near it.
    if allowance.whole_at_ms <= later_ms && later_ms < u64::MAX / 2 {
        assert!(allowance.is_whole(PAIR_CALLS, later_ms));
        let mut taken = 0;
        while let Ok(after) = allowance.take(PAIR_CALL_MS, PAIR_CALLS, true, later_ms) {
            (allowance, taken) = (after, taken + 1);
            assert!(taken <= 10);
        }
    }
}

fn longest_of_class(times: &GateTimes, refusal: Refusal) -> u64 {
    match refusal.class() {
        RefusalClass::LoginNeeded => times.login_longest_ms,
        RefusalClass::Transient => times.transient_longest_ms,
        RefusalClass::Misconfigured => times.misconfigured_ms,
    }
}
