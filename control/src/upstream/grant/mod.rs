//! Grants: what an issuer issued for (issuer, client, user), shared by all sessions of that user; or, at an issuer with
//! a refresh token for each login, for one login.
//!
//! [`record`] is the stored form, [`relayed`] the part of it for clients that refresh through the relay. [`decide`],
//! [`login`], [`takeover`], [`chain`] and [`attach`] are rules and [`attempt`] is the single refresh at a time, all pure.
//! `refresh` executes the steps of an attempt, `examine` checks its new ID token, `serve` answers callers,
//! [`kept`] and `access_token` have the access token that some servers need, `admission` stores logins, and [`rotations`] remembers what a store loses that goes back in time.
//!
//! For a client's refresh token, `owners` is the index to the record that presents it, `presented` finds or creates that
//! record and hands tokens out, and `moving` attaches a login that was not known to its user's grant. `place` decides which
//! record holds a login, and `logins` is the index of the logins of a user that have records of their own.

mod access;
mod access_token;
mod activity;
mod admission;
pub mod attach;
pub mod attempt;
pub mod bypass;
pub mod chain;
pub mod decide;
mod examine;
pub mod intents;
pub mod kept;
mod known_login;
pub mod lineage;
mod listing;
pub mod login;
pub mod login_index;
mod logins;
mod moving;
mod owners;
pub mod place;
mod presentation;
mod presented;
mod recent;
pub mod record;
mod refresh;
pub mod relayed;
mod replacement;
pub mod rotations;
mod serve;
pub mod sign_out;
pub mod takeover;

pub use self::admission::AdmittedLogin;
pub use self::known_login::{Login, LoginSource};
pub(crate) use self::logins::{LoginQuery, UserLogin};
pub(crate) use self::moving::Settled;
pub(crate) use self::presented::{HandedOut, PresentedToken};
pub(crate) use self::refresh::NotRefreshed;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use self::record::{GrantKey, GrantRecord};
use self::refresh::Flown;
use self::rotations::Rotations;
use crate::context::Context;
use crate::coordination::singleflight::SingleFlight;
use crate::record::unreadable::Notices;
use crate::store::StoreError;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::revocation::Revocations;
use crate::upstream::local_pauses::LocalPauses;
use crate::upstream::policy::Policy;
use crate::upstream::token_kind::TokenKind;

/// Lifetime of a signed-out grant's record: longer than any request in progress can take.
pub const SIGNED_OUT_LIFETIME: Duration = Duration::from_secs(3600);

/// A token that may be served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The token.
    pub token: SecretString,
    /// What it is.
    pub kind: TokenKind,
    /// When it expires, Unix seconds: its `exp`; for an opaque token what its issuer stated.
    pub exp_seconds: u64,
    /// Until when the caller may use it in place of the presented token, Unix seconds: its `exp`, or that of the presented
    /// token where nothing but that token stands for the user.
    pub usable_until_seconds: u64,
    /// Its `aud`. Empty for an exchanged token, whose audiences were checked when it was stored, and for an opaque one.
    pub audiences: Vec<String>,
}

/// Durations of [`Grants`].
#[derive(Debug, Clone, Copy)]
pub struct GrantTimes {
    /// Rules of [`decide`].
    pub policy: Policy,
    /// How long a caller waits for a refresh.
    pub caller_deadline: Duration,
    /// Lifetime of a refresh's lease: how long a dead process blocks the others. Renewed while the process lives.
    pub lease_lifetime: Duration,
    /// How long an attempt waits for a lease that another replica holds.
    pub lease_patience: Duration,
    /// Lifetime of an unchanged record.
    pub record_lifetime: Duration,
}

/// All grants.
#[derive(Clone)]
pub struct Grants {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    times: GrantTimes,
    flights: SingleFlight<Flown>,
    rotations: Arc<Rotations>,
    revocations: Revocations,
    pauses: Arc<LocalPauses>,
    notices: Notices,
}

impl Grants {
    /// Grants in the context's store. `rotations` outlive a reload of the configuration; `revocations` revokes the
    /// tokens of logins that sign out.
    #[must_use]
    pub fn new(
        context: Context,
        times: GrantTimes,
        rotations: Arc<Rotations>,
        revocations: Revocations,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                notices: Notices::new(Arc::clone(&context.clock)),
                context,
                times,
                flights: SingleFlight::default(),
                rotations,
                revocations,
                pauses: Arc::default(),
            }),
        }
    }

    /// The record of `key`, a signed-out one included. A login with a record of its own counts as signed out once its user has
    /// signed out everywhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, key: &GrantKey) -> Result<Option<GrantRecord>, StoreError> {
        let Some(stored) = self.inner.read(key).await? else {
            return Ok(None);
        };
        let record = stored.record;
        Ok(Some(match self.inner.is_over_with_user(&record).await? {
            true => sign_out::ended(&record, self.inner.context.clock.now_ms()),
            false => record,
        }))
    }

    /// Whether `key` exists for a caller with `entitlement`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_known(&self, key: &GrantKey, entitlement: Entitlement) -> Result<bool, StoreError> {
        let record = self.record(key).await?;
        Ok(record.is_some_and(|record| !entitlement.is_revoked(&record)))
    }

    /// Lifetime of an unchanged record.
    #[must_use]
    pub fn record_lifetime(&self) -> Duration {
        self.inner.times.record_lifetime
    }

    /// Returns when no refresh is running and no refresh token is being revoked.
    pub async fn finished(&self) {
        self.inner.flights.finished().await;
        self.inner.revocations.wait_idle().await;
    }
}
