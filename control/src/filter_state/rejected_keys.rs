//! Signing keys that the configuration rejects: filters refuse tokens that name them. Every answer to a filter without a
//! position begins with them, and the log has an entry for each change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokenward_protocol::filter_state::{ALWAYS, EndedDigest, LIFTED, SignOut};

use super::SignOutLog;
use crate::config::Config;
use crate::record::codec;
use crate::store::{Expected, Key, Store, StoreError, WriteOutcome};

const FORMAT: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeysRecord {
    format: u8,
    /// Digests of the keys of which the log states that they are rejected.
    rejected: Vec<u64>,
}

fn key() -> Key {
    Key::new("filter_rejected_keys", "published")
}

/// The digests of the keys that `config` rejects.
#[must_use]
pub fn rejected_keys(config: &Config) -> Vec<EndedDigest> {
    let all: BTreeSet<EndedDigest> = (config.issuers.iter())
        .flat_map(|home| (home.rejected_keys.iter()).map(|name| EndedDigest::signing_key(&home.issuer, name)))
        .collect();
    all.into_iter().collect()
}

/// What a filter without a position learns first.
pub fn entries(rejected: &[EndedDigest]) -> impl Iterator<Item = SignOut> {
    (rejected.iter()).map(|&ended| SignOut {
        ended,
        last_second: ALWAYS,
    })
}

/// Appends what changed since a replica did so last: rejected keys, and those that are accepted again.
///
/// # Errors
/// [`StoreError`].
pub async fn publish(
    store: &dyn Store,
    log: &SignOutLog,
    rejected: &[EndedDigest],
) -> Result<(), StoreError> {
    loop {
        let entry = store.read(&key()).await?;
        let published: Option<KeysRecord> = (entry.as_ref())
            .map(|entry| codec::decode(FORMAT, &key(), &entry.value))
            .transpose()?;
        let before = published.map(|record| record.rejected).unwrap_or_default();
        let added = rejected.iter().filter(|ended| !before.contains(&ended.0));
        let mut changes: Vec<SignOut> = added
            .map(|&ended| SignOut {
                ended,
                last_second: ALWAYS,
            })
            .collect();
        let lifted = before.iter().map(|&digest| EndedDigest(digest));
        changes.extend(
            lifted
                .filter(|ended| !rejected.contains(ended))
                .map(|ended| SignOut {
                    ended,
                    last_second: LIFTED,
                }),
        );
        if changes.is_empty() {
            return Ok(());
        }
        log.append(&changes).await?;
        let record = KeysRecord {
            format: FORMAT,
            rejected: rejected.iter().map(|ended| ended.0).collect(),
        };
        let expected = entry.map_or(Expected::Absent, |entry| Expected::At(entry.revision));
        let bytes = codec::encode("serialize rejected keys", &record)?;
        let written = store.write(&key(), expected, &bytes, None).await?;
        if matches!(written, WriteOutcome::Done(_)) {
            return Ok(());
        }
    }
}
