//! Limits the WARN lines of the whole Envoy: however many pairs fail, a minute has a bounded number of them.

use super::memory::{NotStored, update_value};
use crate::host::Host;

/// The key of the count in shared data.
const KEY: &str = "tokenward/lines";
const VERSION: u8 = 1;
const MINUTE_MS: u64 = 60_000;

/// The WARN lines of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WarnMinute {
    /// When the minute began, Unix ms.
    pub since_ms: u64,
    /// WARN lines written in it.
    pub written: u32,
    /// WARN lines withheld since a line last reported their number.
    pub withheld: u32,
}

/// Whether a WARN line may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarnPermit {
    /// It may. `withheld` lines were not written before, and no line has reported them yet.
    Write {
        /// 0 for none.
        withheld: u32,
    },
    /// This minute has had its lines. It ends at this moment, Unix ms.
    Withhold {
        /// Unix ms.
        until_ms: u64,
    },
}

impl WarnMinute {
    /// Takes one line of at most `most` a minute.
    #[must_use]
    pub fn take(self, most: u32, now_ms: u64) -> (Self, WarnPermit) {
        let minute = self.minute_of(now_ms);
        if minute.written >= most {
            let until_ms = minute.since_ms.saturating_add(MINUTE_MS);
            let withheld = minute.withheld.saturating_add(1);
            return (Self { withheld, ..minute }, WarnPermit::Withhold { until_ms });
        }
        let after = Self {
            written: minute.written.saturating_add(1),
            withheld: 0,
            ..minute
        };
        let withheld = minute.withheld;
        (after, WarnPermit::Write { withheld })
    }

    /// Takes the number of withheld lines to report once the minute is over; `None` for no line.
    #[must_use]
    pub fn take_withheld(self, now_ms: u64) -> Option<(Self, u32)> {
        let minute = self.minute_of(now_ms);
        let reported = Self {
            withheld: 0,
            ..minute
        };
        (minute.written == 0 && minute.withheld > 0).then_some((reported, minute.withheld))
    }

    /// A minute that begins in the future means that the clock stepped back.
    fn minute_of(self, now_ms: u64) -> Self {
        let passed_ms = now_ms.checked_sub(self.since_ms);
        if passed_ms.is_some_and(|passed_ms| passed_ms < MINUTE_MS) {
            return self;
        }
        Self {
            since_ms: now_ms,
            written: 0,
            withheld: self.withheld,
        }
    }

    fn decode(bytes: Option<Vec<u8>>) -> Self {
        Self::try_decode(&bytes.unwrap_or_default()).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[VERSION])?;
        let (&since, rest) = rest.split_first_chunk::<8>()?;
        let (&written, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            since_ms: u64::from_le_bytes(since),
            written: u32::from_le_bytes(written),
            withheld: u32::from_le_bytes(rest.try_into().ok()?),
        })
    }

    fn encode(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.since_ms.to_le_bytes());
        bytes.extend_from_slice(&self.written.to_le_bytes());
        bytes.extend_from_slice(&self.withheld.to_le_bytes());
        bytes
    }
}

/// Takes one WARN line of the whole Envoy's minute.
///
/// # Errors
/// [`NotStored`]: the host failed.
pub fn take(host: &impl Host, most: u32, now_ms: u64) -> Result<WarnPermit, NotStored> {
    let mut permit = WarnPermit::Write { withheld: 0 };
    update_value(host, KEY, &mut |bytes| {
        let (after, latest) = WarnMinute::decode(bytes).take(most, now_ms);
        permit = latest;
        Some(after.encode())
    })?;
    Ok(permit)
}

/// How many lines were withheld in a minute that is over, for one of all workers to report.
#[must_use]
pub fn take_withheld(host: &impl Host, now_ms: u64) -> Option<u32> {
    let mut withheld = None;
    let updated = update_value(host, KEY, &mut |bytes| {
        let taken = WarnMinute::decode(bytes).take_withheld(now_ms);
        withheld = taken.map(|(_, withheld)| withheld);
        taken.map(|(after, _)| after.encode())
    });
    withheld.filter(|_| updated.is_ok())
}
