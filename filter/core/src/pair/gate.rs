//! The gate: a presented token that was refused is refused again from memory, until a moment, then one probe goes through.
//! Each presented token has a gate of its own, so a new login passes at once and no client can close another's gate.

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::config::GateTimes;

/// The gate of one presented token within a pair. All times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Digest of (session, server, presented token).
    pub key: [u8; 16],
    /// [`Refusal::code`] of the refusal that closed it.
    pub refusal: u8,
    /// Refusals in a row, for the backoff.
    pub failures: u16,
    /// Closed before this moment.
    pub closed_until_ms: u64,
    /// A probe is under way until this moment at the latest; 0 for none.
    pub probe_until_ms: u64,
}

/// Why a gate is closed, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedGate {
    /// The refusal that closed it.
    pub refusal: Refusal,
    /// Time until it opens, milliseconds.
    pub retry_after_ms: u64,
}

impl ClosedGate {
    /// For a gate that could not be claimed: the request comes back after a second.
    pub const BUSY: Self = Self {
        refusal: Refusal::Busy,
        retry_after_ms: 1_000,
    };
}

/// Whether a request may call control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nothing is held against this token.
    Open,
    /// The gate's time is over: one request may try. It must claim the probe first.
    Probe,
    /// Refused from memory.
    Closed(ClosedGate),
}

/// A refusal that closes a gate.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// The gate's key: digest of (session, server, presented token).
    pub key: [u8; 16],
    /// The refusal.
    pub refusal: Refusal,
    /// Control's `Retry-After` in milliseconds, 0 for none. It is honoured up to the longest closing.
    pub retry_after_ms: u64,
    /// The clock, Unix ms.
    pub now_ms: u64,
    /// Any number. It takes up to a quarter off, so that pairs closed together do not probe together.
    pub jitter: u64,
}

/// How long a probe may be under way before another request may try. Longer than any pause.
const PROBE_SLACK_MS: u64 = 1_000;

/// Judges a gate at `now_ms`. `longest_ms` is [`longest_held_ms`]: a time further in the future than twice that means
/// that the clock stepped back; such a gate counts as open, or a pair would be refused for as long as the step.
#[must_use]
pub fn admit(gate: Option<&Gate>, now_ms: u64, longest_ms: u64) -> Admission {
    let Some(gate) = gate else {
        return Admission::Open;
    };
    let Some(refusal) = Refusal::from_code(gate.refusal).filter(|_| gate.failures > 0) else {
        return Admission::Open;
    };
    let closed_ms = gate.closed_until_ms.saturating_sub(now_ms);
    let probing_ms = gate.probe_until_ms.saturating_sub(now_ms);
    if closed_ms > longest_ms.saturating_mul(2) || probing_ms > longest_ms.saturating_mul(2) {
        return Admission::Open;
    }
    match closed_ms.max(probing_ms) {
        0 => Admission::Probe,
        retry_after_ms => Admission::Closed(ClosedGate {
            refusal,
            retry_after_ms,
        }),
    }
}

/// The gate with the probe claimed, for at most `pause_ms` and a little.
#[must_use]
pub fn claim_probe(gate: Gate, now_ms: u64, pause_ms: u64) -> Gate {
    let until = now_ms.saturating_add(pause_ms).saturating_add(PROBE_SLACK_MS);
    Gate {
        probe_until_ms: until,
        ..gate
    }
}

/// The gate after a refusal.
///
/// Refusals that arrive while the gate is closed (other workers called control at the same moment) do not lengthen it:
/// only a probe's refusal does.
#[must_use]
pub fn close(before: Option<&Gate>, closing: &Closing, times: &GateTimes) -> Gate {
    let Closing { refusal, now_ms, .. } = *closing;
    if let Some(gate) = before
        && gate.failures > 0
        && gate.probe_until_ms == 0
        && gate.closed_until_ms > now_ms
        && gate.closed_until_ms <= now_ms.saturating_add(longest_ms(times))
    {
        return *gate;
    }
    let failures = before.map_or(0, |gate| gate.failures).saturating_add(1);
    let (first_ms, longest_ms) = match refusal.class() {
        RefusalClass::LoginNeeded => (times.login_first_ms, times.login_longest_ms),
        RefusalClass::Transient => (times.transient_first_ms, times.transient_longest_ms),
        RefusalClass::Misconfigured => (times.misconfigured_ms, times.misconfigured_ms),
    };
    let doublings = u32::from(failures.saturating_sub(1)).min(16);
    let backoff_ms = first_ms
        .saturating_mul(1u64 << doublings)
        .max(closing.retry_after_ms)
        .min(longest_ms);
    let quarter_ms = backoff_ms.div_euclid(4);
    let off_ms = closing
        .jitter
        .checked_rem(quarter_ms.saturating_add(1))
        .unwrap_or(0);
    Gate {
        key: closing.key,
        refusal: refusal.code(),
        failures,
        closed_until_ms: now_ms.saturating_add(backoff_ms.saturating_sub(off_ms)),
        probe_until_ms: 0,
    }
}

/// Whether control returns this refusal only after it has verified the presented token: no client can cause it with a
/// token that it made up.
#[must_use]
pub fn proves_token(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NeedsLogin
            | Refusal::ExchangeUnavailable
            | Refusal::ExchangeMisconfigured
            | Refusal::Substitution
    )
}

/// The longest time that any gate is closed with these times.
#[must_use]
pub fn longest_ms(times: &GateTimes) -> u64 {
    times
        .transient_longest_ms
        .max(times.login_longest_ms)
        .max(times.misconfigured_ms)
}

/// The longest time that a gate refuses: closed, or with a probe under way for a whole pause, whichever is longer.
#[must_use]
pub fn longest_held_ms(times: &GateTimes, pause_ms: u64) -> u64 {
    longest_ms(times).max(pause_ms.saturating_add(PROBE_SLACK_MS))
}
