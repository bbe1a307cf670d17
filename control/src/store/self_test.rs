//! A self-test that runs the operations control depends on, with keys of its own. A store may answer `PING` and every
//! read while it refuses each write (memory is full, the server is a replica, an ACL); only a write detects that.

use std::time::Duration;

use super::{Expected, Key, Store, StoreError, StreamFrom, StreamLimit, WriteOutcome};
use crate::coordination::lease;

/// The records of an interrupted self-test expire after this.
const LIFETIME: Duration = Duration::from_secs(60);
/// The kind of its keys: stored format, documented in docs/upgrade.md.
const KIND: &str = "trial";
/// The value that is written and read back.
const VALUE: &[u8] = b"trial";

/// Runs every operation that requests depend on, so neither [`Store::lineage`] nor the streams ([`streams`]), and removes what it wrote.
///
/// # Errors
/// [`StoreError`] of the first operation that fails; [`StoreError::Unexpected`] if the value read back differs from the
/// one written.
pub async fn run(store: &dyn Store) -> Result<(), StoreError> {
    // A new name for each run: leftovers of an earlier run must not let this one pass.
    let owner = lease::new_owner()?;
    let name = owner.0.as_str();
    let key = Key::new(KIND, name);
    let unexpected = |what: &str| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    };
    store.write(&key, Expected::Any, VALUE, Some(LIFETIME)).await?;
    let entry = store.read(&key).await?;
    if entry.is_none_or(|entry| entry.value != VALUE) {
        return Err(unexpected("a value that was just written cannot be read back"));
    }
    store.add_member(&key, name, LIFETIME).await?;
    store.members(&key).await?;
    store.remove_member(&key, name).await?;
    store.acquire_lease(&key, &owner, LIFETIME).await?;
    store.release_lease(&key, &owner).await?;
    match store.delete(&key, Expected::Any).await? {
        WriteOutcome::Done(_) => Ok(()),
        WriteOutcome::Conflict(_) => Err(unexpected("an unconditional deletion returned a conflict")),
    }
}

/// Runs the operations of streams, on which no request depends: without them activity is not recorded.
///
/// # Errors
/// [`StoreError`] of the first operation that fails.
pub async fn streams(store: &dyn Store) -> Result<(), StoreError> {
    let owner = lease::new_owner()?;
    let key = Key::new(KIND, &owner.0);
    // Leaves nothing behind.
    let limit = StreamLimit {
        entries: 0,
        lifetime: LIFETIME,
    };
    store.append(&key, &[VALUE.to_vec()], limit).await?;
    store.entries(&key, StreamFrom::After(None), 1).await?;
    store.entries(&key, StreamFrom::Before(None), 1).await.map(drop)
}
