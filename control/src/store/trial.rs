//! A trial: the operations that control's work consists of, on keys of their own. A store may answer `PING` and every read
//! while it refuses each write (a full memory, a replica, an ACL), and only a write shows that.

use std::time::Duration;

use super::{Expected, Key, LeaseOwner, Outcome, Store, StoreError};
use crate::digest;

/// What a trial that was interrupted leaves behind goes by itself after this.
const LIFETIME: Duration = Duration::from_secs(60);
/// What is written.
const VALUE: &[u8] = b"trial";

/// A name that no other process tries under.
#[must_use]
pub fn new_name() -> String {
    let mut bytes = [0_u8; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => digest::hex(&bytes),
        // Nothing is protected by it: two processes with one name might only find each other's trial.
        Err(_) => format!("process {}", std::process::id()),
    }
}

/// Tries every operation but [`Store::lineage`], which a store may leave unanswered, on keys named `trial` and `name`, and
/// removes what it wrote. Two trials at the same time need two names.
///
/// # Errors
/// [`StoreError`] of the first operation that fails; [`StoreError::Unexpected`] when what was written is not what is read.
pub async fn run(store: &dyn Store, name: &str) -> Result<(), StoreError> {
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
    let owner = LeaseOwner(name.to_owned());
    store.acquire_lease(&key, &owner, LIFETIME).await?;
    store.release_lease(&key, &owner).await?;
    match store.delete(&key, Expected::Any).await? {
        Outcome::Done(_) => Ok(()),
        Outcome::Conflict(_) => Err(unexpected("an unconditional deletion met a condition")),
    }
}
