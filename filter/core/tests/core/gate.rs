use proptest::prelude::*;
use tokenward_filter_core::config::GateTimes;
use tokenward_filter_core::pair::gate::Gate;
use tokenward_filter_core::pair::gate::{
    Admission, ClosedGate, Closing, admit, claim_probe, close, longest_held_ms, longest_ms,
};
use tokenward_protocol::refusal::Refusal;

const KEY: [u8; 16] = [1; 16];
const NOW_MS: u64 = 1_800_000_000_000;
const TIMES: GateTimes = GateTimes {
    transient_first_ms: 1_000,
    transient_longest_ms: 60_000,
    login_first_ms: 5_000,
    login_longest_ms: 30_000,
    misconfigured_ms: 300_000,
};

fn closed(before: Option<&Gate>, refusal: Refusal, now_ms: u64) -> Gate {
    close(before, &closing(refusal, now_ms), &TIMES)
}

fn closing(refusal: Refusal, now_ms: u64) -> Closing {
    Closing {
        key: KEY,
        refusal,
        retry_after_ms: 0,
        now_ms,
        jitter: 0,
    }
}

fn admitted(gate: &Gate, now_ms: u64) -> Admission {
    admit(Some(gate), now_ms, longest_ms(&TIMES))
}

#[test]
fn an_unknown_token_is_admitted() {
    assert_eq!(admit(None, NOW_MS, longest_ms(&TIMES)), Admission::Open);
}

#[test]
fn a_refused_token_is_refused_from_memory_until_the_moment_and_then_one_probe_goes_through() {
    let gate = closed(None, Refusal::NeedsLogin, NOW_MS);
    assert_eq!(
        admitted(&gate, NOW_MS + 1),
        Admission::Closed(ClosedGate {
            refusal: Refusal::NeedsLogin,
            retry_after_ms: 4_999
        })
    );
    assert_eq!(admitted(&gate, NOW_MS + 5_000), Admission::Probe);
    let probing = claim_probe(gate, NOW_MS + 5_000, 5_500);
    assert!(matches!(
        admitted(&probing, NOW_MS + 5_001),
        Admission::Closed(ClosedGate {
            refusal: Refusal::NeedsLogin,
            ..
        })
    ));
    // A probe without a response must not close the gate indefinitely.
    assert_eq!(
        admitted(&probing, NOW_MS + 5_000 + 5_500 + 1_000),
        Admission::Probe
    );
}

#[test]
fn the_backoff_doubles_per_probe_and_is_capped_per_class() {
    for (refusal, expected_s) in [
        (Refusal::IssuerUnavailable, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Refusal::NeedsLogin, [5, 10, 20, 30, 30, 30, 30, 30]),
        (Refusal::IssuerMisconfigured, [300; 8]),
    ] {
        let mut now_ms = NOW_MS;
        let mut before: Option<Gate> = None;
        for seconds in expected_s {
            let claimed = before.map(|gate| claim_probe(gate, now_ms, 5_500));
            let gate = closed(claimed.as_ref(), refusal, now_ms);
            assert_eq!(gate.closed_until_ms - now_ms, seconds * 1000, "{refusal:?}");
            now_ms = gate.closed_until_ms;
            before = Some(gate);
        }
    }
}

#[test]
fn refusals_that_arrive_together_close_the_gate_once() {
    let first = closed(None, Refusal::StoreUnavailable, NOW_MS);
    let second = closed(Some(&first), Refusal::StoreUnavailable, NOW_MS + 10);
    assert_eq!(
        (second.failures, second.closed_until_ms),
        (1, first.closed_until_ms)
    );
}

#[test]
fn controls_retry_after_is_honoured_up_to_the_longest() {
    let closed_ms = |retry_after_ms| {
        let closing = Closing {
            retry_after_ms,
            ..closing(Refusal::Busy, NOW_MS)
        };
        close(None, &closing, &TIMES).closed_until_ms - NOW_MS
    };
    assert_eq!(closed_ms(7_000), 7_000);
    assert_eq!(closed_ms(10_000_000), 60_000);
}

#[test]
fn a_clock_that_steps_back_an_hour_does_not_close_the_gate_for_an_hour() {
    let gate = closed(None, Refusal::NeedsLogin, NOW_MS);
    assert_eq!(admitted(&gate, NOW_MS - 3_600_000), Admission::Open);
}

#[test]
fn a_first_closing_that_is_longer_than_the_longest_is_cut_to_it() {
    let times = GateTimes {
        transient_first_ms: 36_000_000,
        ..TIMES
    };
    let gate = close(None, &closing(Refusal::Busy, NOW_MS), &times);
    assert_eq!(gate.closed_until_ms - NOW_MS, 60_000);
    assert!(matches!(
        admit(Some(&gate), NOW_MS, longest_ms(&times)),
        Admission::Closed(_)
    ));
}

#[test]
fn a_pause_that_is_longer_than_any_closing_still_lets_one_probe_through_only() {
    let times = GateTimes {
        transient_first_ms: 100,
        transient_longest_ms: 100,
        login_first_ms: 100,
        login_longest_ms: 100,
        misconfigured_ms: 100,
    };
    let held_ms = longest_held_ms(&times, 5_500);
    let gate = close(None, &closing(Refusal::Busy, NOW_MS), &times);
    let (now_ms, pause_ms) = (NOW_MS + 100, 5_500);
    assert_eq!(admit(Some(&gate), now_ms, held_ms), Admission::Probe);
    let probing = claim_probe(gate, now_ms, pause_ms);
    let others =
        (0..6_500).filter(|ms| !matches!(admit(Some(&probing), now_ms + ms, held_ms), Admission::Closed(_)));
    assert_eq!(others.count(), 0);
    assert_eq!(admit(Some(&probing), now_ms + 6_500, held_ms), Admission::Probe);
}

proptest! {
    #[test]
    fn no_gate_is_closed_longer_than_the_longest_and_jitter_takes_a_quarter_at_most(
        failures in 0u16.., retry_after_ms: u64, jitter: u64, code in 0usize..Refusal::ALL.len(), probe: bool,
    ) {
        let before = Gate { key: KEY, refusal: 0, failures, closed_until_ms: 0, probe_until_ms: u64::from(probe) };
        let closing = Closing { retry_after_ms, jitter, ..closing(Refusal::ALL[code], NOW_MS) };
        let gate = close(Some(&before), &closing, &TIMES);
        let closed_ms = gate.closed_until_ms - NOW_MS;
        prop_assert!((750..=300_000).contains(&closed_ms), "{}", closed_ms);
        prop_assert!(gate.failures > 0);
    }
}
