//! Pins the subject of a grant's exchanged tokens: the first one is stored, and a token of another subject is never
//! served. A remote issuer names users by other subjects than the home issuer does, so its first answer is the only
//! reference.
//!
//! A pin belongs to one login and to everything in the server's configuration that determines the token
//! ([`ExchangeKey`]): a new login, another connector or another issuer starts a new pin. A user without a registered
//! login has no logins to tell apart: there the pin belongs to the user's count of sign-outs, and lapses a day after
//! the last token of that subject.

use std::time::Duration;

use super::record::ExchangeKey;
use super::standing::Standing;
use super::{Inner, SET_LIFETIME};
use crate::digest;
use crate::store::{Expected, Key, StoreError, WriteOutcome};
use crate::upstream::grant::record::{GrantKey, GrantRecord};

/// Lifetime of an unregistered user's pin after the last token of the pinned subject: a remote user that was renamed is
/// accepted after it, without a login or a sign-out.
const UNREGISTERED_LIFETIME: Duration = Duration::from_secs(24 * 3600);

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

fn pin_of_unregistered(exchange: &ExchangeKey, sign_outs: u64) -> Key {
    let parts = [
        "exchange_subject_unregistered",
        exchange.digest(),
        &sign_outs.to_string(),
    ];
    Key::new("exchange_subject", &digest::hex_of_parts(&parts))
}

fn value_of(subject: &str) -> Vec<u8> {
    let digest = digest::of_parts(&["exchanged_subject", subject]);
    std::iter::once(FORMAT).chain(digest).collect()
}

impl Inner {
    /// Compares `subject` with the one that the exchange `key` first brought for the present login of `grant`, or
    /// the user without one, and pins it if there is none. The pin lives as long as exchanges continue.
    ///
    /// # Errors
    /// [`StoreError`], also for a value that cannot be read: without the pin nothing is served.
    pub(super) async fn pin_subject(
        &self,
        key: &ExchangeKey,
        grant: &GrantKey,
        standing: Standing,
        subject: &str,
    ) -> Result<Pinned, StoreError> {
        let (pin, lifetime) = match standing {
            Standing::Unregistered { sign_outs, .. } => {
                (pin_of_unregistered(key, sign_outs), UNREGISTERED_LIFETIME)
            }
            Standing::Registered | Standing::Ended => match self.grants.record(grant).await? {
                Some(login) => (
                    pin_of(key, &login),
                    self.grants.record_lifetime().max(SET_LIFETIME),
                ),
                // The login has ended; the caller notices that before it serves anything.
                None => return Ok(Pinned::Same),
            },
        };
        let value = value_of(subject);
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
