//! Logins that were rotated past the relay: an issuer refused a grant's refresh token as used, and then a client presented
//! another one of the same user that works. The client has a way to the issuer that does not lead here, and both sides
//! rotate the same login.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Inner;
use crate::digest;
use crate::record::codec;
use crate::store::{Expected, Key, Store, StoreError, WriteOutcome};

const FORMAT: u8 = 1;
/// After a day without another one the notice is over.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Attempts to count while others do.
const MAX_TRIES: usize = 4;

/// How many logins of an issuer were rotated past the relay within a day of each other, and when the last one was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BypassNotice {
    /// Their number.
    pub count: u64,
    /// Unix ms.
    pub last_at_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct BypassRecord {
    format: u8,
    count: u64,
    last_at_ms: u64,
}

fn record_of(issuer: &str) -> Key {
    Key::new("relay_bypass", &digest::hex_of_parts(&["relay_bypass", issuer]))
}

/// The notice of `issuer`; `None` if no login was rotated past the relay within the last day.
///
/// # Errors
/// [`StoreError`].
pub async fn bypass_notice(store: &dyn Store, issuer: &str) -> Result<Option<BypassNotice>, StoreError> {
    let key = record_of(issuer);
    let Some(entry) = store.read(&key).await? else {
        return Ok(None);
    };
    let record: BypassRecord = codec::decode(FORMAT, &key, &entry.value)?;
    Ok(Some(BypassNotice {
        count: record.count,
        last_at_ms: record.last_at_ms,
    }))
}

impl Inner {
    /// Counts a login of `issuer` that was rotated past the relay. Best effort: the metric counts it too.
    pub(super) async fn note_bypass(&self, issuer: &str) {
        for _ in 0..MAX_TRIES {
            match self.count_bypass(issuer).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, "store error");
                    return;
                }
            }
        }
    }

    async fn count_bypass(&self, issuer: &str) -> Result<bool, StoreError> {
        let key = record_of(issuer);
        let store = &self.context.store;
        let (expected, count) = match store.read(&key).await? {
            Some(entry) => {
                let before: Result<BypassRecord, _> = codec::decode(FORMAT, &key, &entry.value);
                (
                    Expected::At(entry.revision),
                    before.map_or(0, |before| before.count),
                )
            }
            None => (Expected::Absent, 0),
        };
        let record = BypassRecord {
            format: FORMAT,
            count: count.saturating_add(1),
            last_at_ms: self.context.clock.now_ms(),
        };
        let bytes = codec::encode("serialize bypass", &record)?;
        let written = store.write(&key, expected, &bytes, Some(LIFETIME)).await?;
        Ok(matches!(written, WriteOutcome::Done(_)))
    }
}
