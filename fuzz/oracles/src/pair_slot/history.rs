//! Histories of one slot under a clock that only goes forward, against a model that remembers everything.

use std::collections::HashMap;

use tokenward_filter_core::config::GateTimes;
use tokenward_filter_core::log::{Level, Refusals};
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::pair::gate::{Admission, Closing, admit, claim_probe, close, longest_held_ms};
use tokenward_filter_core::pair::record::{Record, Spans};
use tokenward_filter_core::pair::slot::{PLACES, Slot};

use super::{any_record, any_refusal, longest_of_class, may_wait, reads_back};
use crate::deal::Deal;

/// Ten years: the longest span that a configuration can name.
const LONGEST_SPAN_MS: u64 = 10 * 365 * 24 * 3_600_000;
const START_MS: u64 = 1_800_000_000_000;
/// More pairs than a slot has places, so that some are forgotten.
const PAIRS: u8 = 30;
/// Steps of one history; more only make it slow.
const MOST_STEPS: usize = 400;

struct History {
    slot: Slot,
    times: GateTimes,
    pause_ms: u64,
    warn_every_ms: u64,
    now_ms: u64,
    logged: HashMap<u8, Logged>,
}

/// What was logged about a pair since its throttle was last dropped.
#[derive(Default)]
struct Logged {
    refusals: u64,
    warnings: u64,
    infos: u64,
    /// Refusals that a WARN or an INFO gave as a number.
    suppressed: u64,
    last_warning_ms: Option<u64>,
    in_a_row: u64,
}

pub(super) fn any_history(deal: &mut Deal<'_>) {
    let mut span = || deal.number_below(LONGEST_SPAN_MS) + 1;
    let times = GateTimes {
        transient_first_ms: span(),
        transient_longest_ms: span(),
        login_first_ms: span(),
        login_longest_ms: span(),
        misconfigured_ms: span(),
    };
    let (warn_every_ms, pause_ms) = (span(), span());
    let mut history = History {
        slot: Slot::default(),
        times,
        pause_ms,
        warn_every_ms,
        now_ms: START_MS,
        logged: HashMap::new(),
    };
    for _ in 0..MOST_STEPS {
        if deal.is_empty() {
            break;
        }
        history.step(deal);
    }
    reads_back(&history.slot);
}

impl History {
    fn step(&mut self, deal: &mut Deal<'_>) {
        let what = deal.byte() % 8;
        let pair = deal.byte() % PAIRS;
        match what {
            0 => self.now_ms += deal.number() & u64::from(u32::MAX),
            1 => self.is_refused(pair, deal),
            2 => self.requests_admission(pair),
            3 => self.opens(pair),
            4 => self.notes_a_refusal(pair, deal),
            5 => self.notes_a_success(pair),
            6 => {
                reads_back(&self.slot);
                self.slot = Slot::decode(self.slot.clone().encode());
            }
            // Records of other pairs take places away.
            _ => {
                let record = any_record(deal, [PAIRS + pair; 16]);
                self.slot.put(&record, self.spans(), self.now_ms);
            }
        }
    }

    fn spans(&self) -> Spans {
        Spans {
            longest_held_ms: self.held_ms(),
            warn_every_ms: self.warn_every_ms,
        }
    }

    fn record(&self, pair: u8) -> Record {
        self.slot
            .record(&[pair; 16])
            .unwrap_or_else(|| Record::new([pair; 16]))
    }

    /// Writes a record as a worker does. Whether it found a place.
    fn put(&mut self, mut record: Record) -> bool {
        record.touched_ms = self.now_ms;
        let (key, full) = (record.key, self.slot.len() >= PLACES);
        let was_there = self.slot.record(&key).is_some();
        if !was_there {
            self.logged.remove(&key[0]);
        }
        let placed = self.slot.put(&record, self.spans(), self.now_ms);
        assert!(
            placed || (full && !was_there),
            "what is there is never lost, and a free place is used"
        );
        assert_eq!(self.slot.record(&key), placed.then_some(record));
        placed
    }

    fn held_ms(&self) -> u64 {
        longest_held_ms(&self.times, self.pause_ms)
    }

    fn admitted(&self, pair: u8) -> Admission {
        admit(
            self.record(pair).gate(&[pair; 16]).as_ref(),
            self.now_ms,
            self.held_ms(),
        )
    }

    fn is_refused(&mut self, pair: u8, deal: &mut Deal<'_>) {
        let mut record = self.record(pair);
        let before = record.gate(&[pair; 16]);
        let refusal = any_refusal(deal);
        let closing = Closing {
            key: [pair; 16],
            refusal,
            retry_after_ms: deal.number(),
            now_ms: self.now_ms,
            jitter: deal.number(),
        };
        let gate = close(before.as_ref(), &closing, &self.times);
        let unchanged = before.is_some_and(|before| before.closed_until_ms == gate.closed_until_ms);
        if !unchanged {
            let closed_ms = gate.closed_until_ms - self.now_ms;
            let longest_ms = longest_of_class(&self.times, refusal);
            assert!(
                (1..=longest_ms).contains(&closed_ms),
                "{closed_ms} of {longest_ms} ms after {refusal:?}"
            );
        }
        record.put_gate(gate);
        if self.put(record) {
            assert!(matches!(self.admitted(pair), Admission::Closed(_)));
        }
    }

    fn requests_admission(&mut self, pair: u8) {
        let admission = self.admitted(pair);
        may_wait(admission, self.held_ms());
        let mut record = self.record(pair);
        let Some(gate) = record.gate(&[pair; 16]) else {
            assert_eq!(admission, Admission::Open);
            return;
        };
        // No gate outlives its longest time, also when a claimed probe gets no response.
        let end_ms = self.now_ms + self.held_ms() + 1;
        assert!(!matches!(
            admit(Some(&gate), end_ms, self.held_ms()),
            Admission::Closed(_)
        ));
        if admission == Admission::Probe {
            record.put_gate(claim_probe(gate, self.now_ms, self.pause_ms));
            assert!(self.put(record), "it had its place");
            // One probe at a time.
            assert!(matches!(self.admitted(pair), Admission::Closed(_)));
        }
    }

    fn opens(&mut self, pair: u8) {
        let mut record = self.record(pair);
        if record.open_gate(&[pair; 16]) {
            assert!(self.put(record), "it had its place");
            assert_eq!(self.admitted(pair), Admission::Open);
        }
    }

    fn notes_a_refusal(&mut self, pair: u8, deal: &mut Deal<'_>) {
        let mut record = self.record(pair);
        let refusals = Refusals {
            refusal: any_refusal(deal),
            mcp_method: McpMethod::NONE,
            requests: u32::from(deal.byte()) + 1,
            may_warn: deal.yes(),
        };
        let line = record.note_refusals(refusals, self.warn_every_ms, self.now_ms);
        let waiting = record.throttle.suppressed;
        if !self.put(record) {
            return;
        }
        let logged = self.logged.entry(pair).or_default();
        let due = logged
            .last_warning_ms
            .is_none_or(|last| self.now_ms - last >= self.warn_every_ms);
        let warned = line.level == Level::Warn;
        assert_eq!(warned, refusals.may_warn && due);
        logged.refusals += u64::from(refusals.requests);
        logged.in_a_row += u64::from(refusals.requests);
        assert_eq!(u64::from(line.in_a_row), logged.in_a_row);
        if warned {
            logged.warnings += 1;
            logged.suppressed += u64::from(line.suppressed);
            logged.last_warning_ms = Some(self.now_ms);
        }
        logged.adds_up(waiting);
    }

    fn notes_a_success(&mut self, pair: u8) {
        let Some(mut record) = self.slot.record(&[pair; 16]) else {
            return;
        };
        let Some((after, line)) = record.throttle.recovered() else {
            return;
        };
        assert_eq!(after.recovered(), None);
        record.throttle = after;
        assert!(self.put(record), "it had its place");
        let logged = self.logged.entry(pair).or_default();
        logged.in_a_row = 0;
        if let Some(line) = line {
            logged.infos += 1;
            logged.suppressed += u64::from(line.suppressed);
        }
        assert!(logged.infos <= logged.warnings);
        logged.adds_up(after.suppressed);
    }
}

impl Logged {
    /// Every refusal is a WARN, was given as a number, or still waits to be.
    fn adds_up(&self, waiting: u32) {
        assert_eq!(
            self.refusals,
            self.warnings + self.suppressed + u64::from(waiting)
        );
    }
}
