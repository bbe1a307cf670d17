//! Pins the subject of a grant's exchanged tokens: the first one is stored, and a token of another subject is never
//! served. A remote issuer names users by other subjects than the home issuer does, so its first answer is the only
//! reference.
//!
//! A pin belongs to one login and to everything in the server's configuration that determines the token
//! ([`ExchangeKey`]): a new login, another connector or another issuer starts a new pin.

use super::record::ExchangeKey;
use super::{Inner, SET_LIFETIME};
use crate::digest;
use crate::store::{Expected, Key, StoreError, WriteOutcome};
use crate::upstream::grant::record::{GrantKey, GrantRecord};

/// Version of the value's format: this byte, then the digest of the subject.
const FORMAT: u8 = 1;

/// How a subject compares with the pinned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pinned {
    /// The first subject, or the same one.
    Same,
    /// The remote issuer answered for another subject.
    Other,
}

/// Generations restart when a record has expired, so the time of the login is part of the key too.
fn pin_of(exchange: &ExchangeKey, login: &GrantRecord) -> Key {
    let (generation, logged_in_at_ms) = (login.generation.to_string(), login.logged_in_at_ms.to_string());
    let parts = [
        "exchange_subject",
        exchange.digest(),
        &generation,
        &logged_in_at_ms,
    ];
    Key::new("exchange_subject", &digest::hex_of_parts(&parts))
}

fn value_of(subject: &str) -> Vec<u8> {
    let digest = digest::of_parts(&["exchanged_subject", subject]);
    std::iter::once(FORMAT).chain(digest).collect()
}

impl Inner {
    /// Compares `subject` with the one that the exchange `key` first brought for the present login of `grant`, and pins
    /// it if there is none. The pin lives as long as exchanges continue.
    ///
    /// # Errors
    /// [`StoreError`], also for a value that cannot be read: without the pin nothing is served.
    pub(super) async fn pin_subject(
        &self,
        key: &ExchangeKey,
        grant: &GrantKey,
        subject: &str,
    ) -> Result<Pinned, StoreError> {
        let Some(login) = self.grants.record(grant).await? else {
            // The login has ended; the caller notices that before it serves anything.
            return Ok(Pinned::Same);
        };
        let (pin, value) = (pin_of(key, &login), value_of(subject));
        let lifetime = self.grants.record_lifetime().max(SET_LIFETIME);
        let mut expected = Expected::Absent;
        let store = &self.context.store;
        loop {
            let written = store.write(&pin, expected, &value, Some(lifetime)).await?;
            let WriteOutcome::Conflict(there) = written else {
                return Ok(Pinned::Same);
            };
            expected = match there {
                None => Expected::Absent,
                Some(entry) if entry.value == value => Expected::At(entry.revision),
                Some(entry) if entry.value.first() == Some(&FORMAT) => return Ok(Pinned::Other),
                Some(_) => {
                    return Err(StoreError::Unexpected {
                        key: pin,
                        what: "not a subject of this version of tokenward".to_owned(),
                    });
                }
            };
        }
    }
}
