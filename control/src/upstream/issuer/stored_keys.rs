//! An issuer's keys in the store: past ones must prove whose token it is after a restart too.

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

/// The keys of `issuer` as the store has them; none where there is no record.
pub(super) async fn read(context: &Context, issuer: &str) -> Result<Vec<KnownKey>, StoreError> {
    let key = record_of(issuer);
    let Some(entry) = context.store.read(&key).await? else {
        return Ok(Vec::new());
    };
    let unexpected = |what: &str| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    };
    // Sealed although public: a writer of the store must not be able to add a key.
    let Ok(opened) = context.ring.open(key.as_str(), &entry.value) else {
        return Err(unexpected("the remembered keys do not open"));
    };
    from_stored(opened.expose_secret()).map_err(|_| unexpected("the remembered keys are not of this version"))
}

/// Writes `keys`. Replicas write the same content; what one of them knew and another did not is kept.
pub(super) async fn write(context: &Context, issuer: &str, keys: &[KnownKey]) -> Result<(), StoreError> {
    let key = record_of(issuer);
    let mut keys = keys.to_vec();
    let now_ms = context.clock.now_ms();
    let retired_since_ms = now_ms.saturating_sub(whole_ms(context.past_key_grace));
    let mut others = Vec::new();
    for mut stored in read(context, issuer).await? {
        // What another replica saw published and this fetch came without is gone by now.
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
        operation: "remember keys",
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
