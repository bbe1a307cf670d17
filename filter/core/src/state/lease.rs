//! Which VM of the whole Envoy polls control: one at a time, and another one when it stops.

use tokenward_protocol::backoff::Backoff;

use crate::host::Host;
use crate::pair::memory::update_value;

/// The key of the lease in shared data.
pub const LEASE_KEY: &str = "tokenward/state/lease";
const FORMAT: u8 = 1;
/// Waits after failed polls.
const BACKOFF: Backoff = Backoff::new(500, 5_000);
/// The owner of a lease that was given up: until its end no VM polls.
const NO_OWNER: OwnerId = [0; 16];

/// Identifies a VM: random, so that no two are the same.
pub type OwnerId = [u8; 16];

/// The lease as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The VM that polls.
    pub owner: OwnerId,
    /// No other VM polls before this moment, Unix ms.
    pub until_ms: u64,
    /// Failed polls in a row, of whichever VM.
    pub failures: u8,
}

impl Lease {
    /// The lease as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let until = self.until_ms.to_le_bytes();
        [&[FORMAT, self.failures], &until[..], &self.owner[..]].concat()
    }

    /// Reads a lease; `None` for bytes of another format.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (until, owner) = bytes.get(2..)?.split_first_chunk::<8>()?;
        let [FORMAT, failures, ..] = *bytes else {
            return None;
        };
        Some(Self {
            owner: owner.try_into().ok()?,
            until_ms: u64::from_le_bytes(*until),
            failures,
        })
    }

    /// Whether `owner` may poll at `now_ms`. No lease ends further ahead than `hold_ms`: one that does was written by a clock
    /// that has stepped back since.
    fn admits(&self, owner: &OwnerId, hold_ms: u64, now_ms: u64) -> bool {
        let left_ms = self.until_ms.saturating_sub(now_ms);
        self.owner == *owner || left_ms == 0 || left_ms > hold_ms
    }
}

/// Claims the lease for `hold_ms`, or renews it. Returns the failed polls in a row so far; `None` while another VM holds it.
pub fn claim(host: &impl Host, owner: &OwnerId, hold_ms: u64, now_ms: u64) -> Option<u8> {
    let mut claimed = None;
    let stored = update_value(host, LEASE_KEY, &mut |bytes| {
        let before = bytes.and_then(|bytes| Lease::decode(&bytes));
        let is_free = before.is_none_or(|lease| lease.admits(owner, hold_ms, now_ms));
        let failures = before.map_or(0, |lease| lease.failures);
        claimed = is_free.then_some(failures);
        let lease = Lease {
            owner: *owner,
            until_ms: now_ms.saturating_add(hold_ms),
            failures,
        };
        is_free.then(|| lease.encode())
    });
    claimed.filter(|_| stored.is_ok())
}

/// Notes the end of a poll of the lease's `owner`. After a failed one the lease is free once the backoff is over: another VM
/// may have the credential or the configuration with which it works.
pub fn note_poll(host: &impl Host, owner: &OwnerId, failures: u8, now_ms: u64) {
    // A lease that cannot be written ends by itself.
    let _ = update_value(host, LEASE_KEY, &mut |bytes| {
        let before = Lease::decode(&bytes?).filter(|lease| lease.owner == *owner)?;
        let after = match failures.checked_sub(1) {
            None => Lease { failures, ..before },
            Some(doublings) => Lease {
                owner: NO_OWNER,
                until_ms: now_ms.saturating_add(BACKOFF.wait_ms(u32::from(doublings))),
                failures,
            },
        };
        (after != before).then(|| after.encode())
    });
}
