//! The record of one pair, and its bytes.

use tokenward_protocol::refusal::Refusal;

use super::allowance::{Allowance, AllowanceLimit};
use super::gate::{Gate, proves_token};
use super::throttle::Throttle;
use crate::log::{RefusalLine, Refusals};

/// Gates of one pair: refused tokens that are refused again from memory.
pub const MOST_GATES: usize = 4;
/// Bytes of a record without gates, and of one gate.
pub(super) const RECORD_BYTES: usize = 52;
pub(super) const GATE_BYTES: usize = 36;
/// Position of the number of gates in a record.
const GATES_AT: usize = 18;

/// Calls to control that a pair may make for tokens that control has never accepted: ten at once, of which four are for
/// tokens that come back, and one more every five seconds.
pub const PAIR_CALLS: AllowanceLimit = AllowanceLimit {
    most_ms: 50_000,
    reserve_ms: 20_000,
};
/// What one of these calls costs.
pub const PAIR_CALL_MS: u64 = 5_000;

/// The spans of time that decide whether a record still matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// [`super::gate::longest_held_ms`].
    pub longest_held_ms: u64,
    /// At most one WARN of a pair in this time.
    pub warn_every_ms: u64,
}

/// How much would be lost with a record, in the order in which a full slot gives them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// Nothing is closed or was a moment ago, and the next refusal may warn.
    Idle,
    /// A WARN was written a moment ago, or calls were made.
    Recent,
    /// A gate is closed for an unverified token: any client can make one up.
    Closed,
    /// A gate is closed for a token that control has verified.
    ClosedForProven,
}

/// The record of one pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Digest of (session, server).
    pub key: [u8; 16],
    /// Its log throttle.
    pub throttle: Throttle,
    /// What it has used of [`PAIR_CALLS`].
    pub calls: Allowance,
    /// Last written, Unix ms.
    pub touched_ms: u64,
    gates: Vec<Gate>,
}

impl Record {
    /// A blank record.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            key,
            throttle: Throttle::default(),
            calls: Allowance::default(),
            touched_ms: 0,
            gates: Vec::new(),
        }
    }

    /// Counts `refusals`, and returns what to log about them.
    pub fn note_refusals(&mut self, refusals: Refusals, warn_every_ms: u64, now_ms: u64) -> RefusalLine {
        let (after, line) = self.throttle.refused(refusals, warn_every_ms, now_ms);
        self.throttle = after;
        line
    }

    /// The gate of a presented token.
    #[must_use]
    pub fn gate(&self, key: &[u8; 16]) -> Option<Gate> {
        self.gates.iter().find(|gate| gate.key == *key).copied()
    }

    /// All gates, at most [`MOST_GATES`].
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// Stores a gate in place of the one of its token, or in a free place, or in place of the one that opens first.
    pub fn put_gate(&mut self, gate: Gate) {
        if let Some(place) = self.gates.iter_mut().find(|other| other.key == gate.key) {
            *place = gate;
            return;
        }
        if self.gates.len() >= MOST_GATES {
            let held_until_ms = |gate: &Gate| gate.closed_until_ms.max(gate.probe_until_ms);
            let first = self.gates.iter_mut().min_by_key(|gate| held_until_ms(gate));
            if let Some(place) = first {
                *place = gate;
            }
            return;
        }
        self.gates.push(gate);
    }

    /// Opens the gate of a token and drops its backoff. Whether there was one.
    pub fn open_gate(&mut self, key: &[u8; 16]) -> bool {
        let before = self.gates.len();
        self.gates.retain(|gate| gate.key != *key);
        self.gates.len() < before
    }

    /// What would be lost with the record at `now_ms`.
    #[must_use]
    pub fn worth(&self, spans: Spans, now_ms: u64) -> Worth {
        let longest_ms = spans.longest_held_ms.saturating_mul(2);
        // A gate past its closing time waits for the request that will be its probe: its backoff is still needed.
        let touched_ms = now_ms.checked_sub(self.touched_ms);
        let in_use = touched_ms.is_some_and(|touched_ms| touched_ms < spans.warn_every_ms);
        let held = self.gates.iter().filter(|gate| {
            let until_ms = gate.closed_until_ms.max(gate.probe_until_ms);
            in_use || (1..=longest_ms).contains(&until_ms.saturating_sub(now_ms))
        });
        let proven = |gate: &Gate| Refusal::from_code(gate.refusal).is_some_and(proves_token);
        let warned_ms = now_ms.checked_sub(self.throttle.last_warn_ms);
        let warned = warned_ms.is_some_and(|warned_ms| warned_ms < spans.warn_every_ms);
        held.map(|gate| match proven(gate) {
            true => Worth::ClosedForProven,
            false => Worth::Closed,
        })
        .max()
        .unwrap_or(if self.calls.is_whole(PAIR_CALLS, now_ms) && !warned {
            Worth::Idle
        } else {
            Worth::Recent
        })
    }

    /// Whether it holds nothing that a new record would not.
    #[must_use]
    pub fn is_blank(&self, spans: Spans, now_ms: u64) -> bool {
        let Throttle {
            warned,
            suppressed,
            in_a_row,
            ..
        } = self.throttle;
        let silent = !warned && suppressed == 0 && in_a_row == 0;
        silent && self.gates.is_empty() && self.worth(spans, now_ms) == Worth::Idle
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let throttle = &self.throttle;
        let gates = u8::try_from(self.gates.len()).unwrap_or(0);
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&[u8::from(throttle.warned), throttle.refusal, gates, 0]);
        bytes.extend_from_slice(&throttle.suppressed.to_le_bytes());
        bytes.extend_from_slice(&throttle.in_a_row.to_le_bytes());
        for number in [throttle.last_warn_ms, self.calls.whole_at_ms, self.touched_ms] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for gate in &self.gates {
            let [low, high] = gate.failures.to_le_bytes();
            bytes.extend_from_slice(&gate.key);
            bytes.extend_from_slice(&[gate.refusal, 0, low, high]);
            bytes.extend_from_slice(&gate.closed_until_ms.to_le_bytes());
            bytes.extend_from_slice(&gate.probe_until_ms.to_le_bytes());
        }
    }

    /// How many bytes the record has that `bytes` begins with; at least one.
    pub(super) fn length(bytes: &[u8]) -> usize {
        let gates = bytes.get(GATES_AT).copied().map_or(0, usize::from);
        RECORD_BYTES.saturating_add(gates.saturating_mul(GATE_BYTES))
    }

    /// Whether these are the bytes of one record.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        let gates = bytes.get(GATES_AT).copied().map(usize::from);
        gates.is_some_and(|gates| gates <= MOST_GATES) && bytes.len() == Self::length(bytes)
    }

    /// The record in these bytes; `None` for bytes that no worker of this version writes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&key, rest) = bytes.split_first_chunk::<16>()?;
        let (&[warned, refusal, gates, _], rest) = rest.split_first_chunk::<4>()?;
        let (suppressed, rest) = u32_of(rest)?;
        let (in_a_row, rest) = u32_of(rest)?;
        let (last_warn_ms, rest) = u64_of(rest)?;
        let (whole_at_ms, rest) = u64_of(rest)?;
        let (touched_ms, mut rest) = u64_of(rest)?;
        let mut record = Self::new(key);
        record.throttle = Throttle {
            warned: warned != 0,
            refusal,
            suppressed,
            in_a_row,
            last_warn_ms,
        };
        record.calls = Allowance { whole_at_ms };
        record.touched_ms = touched_ms;
        if usize::from(gates) > MOST_GATES {
            return None;
        }
        for _ in 0..gates {
            let (gate, after) = decode_gate(rest)?;
            record.gates.push(gate);
            rest = after;
        }
        rest.is_empty().then_some(record)
    }
}

fn decode_gate(bytes: &[u8]) -> Option<(Gate, &[u8])> {
    let (&key, rest) = bytes.split_first_chunk::<16>()?;
    let (&[refusal, _, low, high], rest) = rest.split_first_chunk::<4>()?;
    let (closed_until_ms, rest) = u64_of(rest)?;
    let (probe_until_ms, rest) = u64_of(rest)?;
    let gate = Gate {
        key,
        refusal,
        failures: u16::from_le_bytes([low, high]),
        closed_until_ms,
        probe_until_ms,
    };
    Some((gate, rest))
}

fn u32_of(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(number), rest))
}

fn u64_of(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(number), rest))
}
