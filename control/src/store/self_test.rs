//! A trial: the operations that control's work consists of, on keys of their own. A store may answer `PING` and every read
//! while it refuses each write (a full memory, a replica, an ACL), and only a write shows that.

use std::time::Duration;

use super::{Expected, Key, Store, StoreError, WriteOutcome};
use crate::coordination::lease;

/// What a trial that was interrupted leaves behind goes by itself after this.
const LIFETIME: Duration = Duration::from_secs(60);
/// What is written.
const VALUE: &[u8] = b"trial";

/// Tries every operation but [`Store::lineage`], which a store may leave unanswered, on keys of its own,
/// and removes what it wrote.
///
/// # Errors
/// [`StoreError`] of the first operation that fails; [`StoreError::Unexpected`] when what was written is not what is read.
pub async fn run(store: &dyn Store) -> Result<(), StoreError> {
    // New each time: what an earlier trial left behind must not make this one easier.
    let owner = lease::new_owner()?;
    let name = owner.0.as_str();
    let key = Key::new("trial", name);
    let unexpected = |what: &str| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    };
    store.write(&key, Expected::Any, VALUE, Some(LIFETIME)).await?;
    let entry = store.read(&key).await?;
    if entry.is_none_or(|entry| entry.value != VALUE) {
        return Err(unexpected("what was written a moment ago is not there"));
    }
    store.add_member(&key, name, LIFETIME).await?;
    store.members(&key).await?;
    store.remove_member(&key, name).await?;
    store.acquire_lease(&key, &owner, LIFETIME).await?;
    store.release_lease(&key, &owner).await?;
    match store.delete(&key, Expected::Any).await? {
        WriteOutcome::Done(_) => Ok(()),
        WriteOutcome::Conflict(_) => Err(unexpected("an unconditional deletion met a condition")),
    }
}
