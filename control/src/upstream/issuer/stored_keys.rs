//! An issuer's keys in the store: past keys must prove a token's subject after a restart as well.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokenward_protocol::duration::whole_ms;

use super::known_keys::{KnownKey, MOST_PAST_KEYS, from_stored, to_stored, truncate_past};
use crate::context::Context;
use crate::digest;
use crate::store::{Expected, Key, StoreError, WriteOutcome};

/// The store's key for the keys of `issuer`.
#[must_use]
pub fn record_of(issuer: &str) -> Key {
    Key::new("keys", &digest::hex_of_parts(&[issuer]))
}

/// The stored keys of `issuer`; none without a record.
pub(super) async fn read(context: &Context, issuer: &str) -> Result<Vec<KnownKey>, StoreError> {
    let key = record_of(issuer);
    let Some(entry) = context.store.read(&key).await? else {
        return Ok(Vec::new());
    };
    let unexpected = |what: &str| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    };
    // Sealed although public: write access to the store must not suffice to add a key.
    let Ok(opened) = context.ring.open(key.as_str(), &entry.value) else {
        return Err(unexpected("the stored keys cannot be unsealed"));
    };
    from_stored(opened.expose_secret())
        .map_err(|_| unexpected("the stored keys are not in the format of this version"))
}

/// Writes `keys`, together with past keys that only another replica knew.
pub(super) async fn write(context: &Context, issuer: &str, keys: &[KnownKey]) -> Result<(), StoreError> {
    let key = record_of(issuer);
    let mut keys = keys.to_vec();
    let now_ms = context.clock.now_ms();
    let retired_since_ms = now_ms.saturating_sub(whole_ms(context.past_key_grace));
    let mut others = Vec::new();
    for mut stored in read(context, issuer).await? {
        // A key that another replica saw published and this fetch lacks has been withdrawn.
        let retired_ms = *stored.retired_at_ms.get_or_insert(now_ms);
        let known = keys.iter().any(|known| known.key == stored.key);
        if !known && retired_ms >= retired_since_ms {
            others.push(stored);
        }
    }
    let past = keys.iter().filter(|known| known.retired_at_ms.is_some()).count();
    truncate_past(&mut others);
    others.truncate(MOST_PAST_KEYS.saturating_sub(past));
    keys.append(&mut others);
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Failed {
        operation: "store keys",
        source,
    };
    let text = to_stored(&keys).map_err(|error| failed(Box::new(error)))?;
    let sealed = context
        .ring
        .seal(key.as_str(), &text)
        .map_err(|error| failed(Box::new(error)))?;
    let lifetime = context.past_key_grace + Duration::from_secs(24 * 3600);
    let written = context
        .store
        .write(&key, Expected::Any, &sealed, Some(lifetime))
        .await?;
    debug_assert!(matches!(written, WriteOutcome::Done(_)));
    Ok(())
}
