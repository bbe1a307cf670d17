//! The language between an attempt and whoever carries its steps out.

use std::time::Duration;

use super::super::lineage::ObservedLineage;
use super::super::record::{GrantRecord, StoredIdToken, StoredRefreshToken, VersionedGrant};
use super::super::rotations::Rotation;
use super::Finished;
use crate::config::IssuerPolicy;
use crate::refused::Refused;
use crate::store::Revision;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::{Death, Transient};
use crate::upstream::issuer::introspection::Introspected;
use crate::upstream::policy::Policy;

/// What to do next. Each step is answered with the events that are named with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Take the grant's lease: [`Event::LeaseAcquired`], [`Event::LeaseHeld`] or [`Event::StoreFailed`].
    TakeLease,
    /// Look whether the lease is still held: [`Event::LeaseConfirmed`].
    ConfirmLease,
    /// Let this time pass: [`Event::Waited`].
    Wait(Duration),
    /// Read the record: [`Event::Read`] or [`Event::StoreFailed`].
    Read,
    /// Write the record if it is still at the revision: [`Event::Written`], [`Event::Conflict`] or
    /// [`Event::StoreFailed`]. An announcement on another lineage of writes than the record was read on counts as unheard.
    Write {
        /// The revision that was read.
        at: Revision,
        /// What it replacement.
        record: Box<GrantRecord>,
    },
    /// Ask the issuer whether this refresh token is unused: [`Event::Introspected`], [`Event::NotReady`] or
    /// [`Event::PreparationFailed`].
    Introspect(StoredRefreshToken),
    /// Open the refresh token, find the token endpoint, get leave to call it: [`Event::Ready`], [`Event::NotReady`] or
    /// [`Event::PreparationFailed`]. Nothing has been presented when this fails.
    Prepare(StoredRefreshToken),
    /// Present it, once: [`Event::Answered`].
    Present,
    /// Look at the ID token that came: [`Event::Examined`].
    Examine,
    /// Give the lease back if it is held. It is over.
    Finish(Box<Finished>),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The attempt begins.
    Started,
    /// The lease is held, in this holder's name.
    LeaseAcquired(String),
    /// Somebody else holds the lease.
    LeaseHeld,
    /// Whether the lease is still held.
    LeaseConfirmed(bool),
    /// The wait is over.
    Waited,
    /// The record, if there is one.
    Read(Option<Box<ObservedGrant>>),
    /// The write was done; the record's new revision.
    Written(Revision),
    /// The write was not done, because the record is at another revision: what the store holds instead.
    Conflict(Option<Box<VersionedGrant>>),
    /// The store did not answer: a write may have happened.
    StoreFailed,
    /// What the issuer says of the refresh token.
    Introspected(Introspected),
    /// Everything is ready to present the token.
    Ready,
    /// Not now, and not because of this grant.
    NotReady(Refused),
    /// The issuer cannot even be asked.
    PreparationFailed(Failure),
    /// The issuer's answer.
    Answered(Answer),
    /// The new ID token as it is stored, or what is wrong with it.
    Examined(Result<StoredIdToken, Failure>),
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObservedGrant {
    /// For the write after it.
    pub revision: Revision,
    /// The record.
    pub record: GrantRecord,
    /// What this process wrote after that, and the store has lost: it went back in time.
    pub lost_rotation: Option<Box<Rotation>>,
    /// The store's lineage of writes, on_read up after the read; only for `strict` issuers.
    pub lineage: Option<ObservedLineage>,
    /// Since when this process has known the record's announcement, Unix ms; only for `strict` issuers.
    pub intent_observed_ms: Option<u64>,
}

/// The issuer's answer, with the new refresh token sealed already.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// New tokens.
    Refreshed {
        /// The new refresh token, where it is another than the presented one; or that one, sealed by a newer key.
        rotated: Option<StoredRefreshToken>,
        /// Why there is no ID token to be examined; `None`: there is one.
        no_id_token: Option<Failure>,
    },
    /// This refresh token will never work again.
    Dead(Death),
    /// An operator must act.
    Misconfigured(String),
    /// Waiting may help.
    Transient(Transient),
}

/// The time of a transition, and its chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// Unix ms, by the clock of the process that makes the attempt.
    pub now_ms: u64,
    /// Uniform in `0..=u32::MAX`.
    pub jitter: u32,
}

/// What an attempt's decisions rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttemptConfig {
    /// The configured spans of time.
    pub policy: Policy,
    /// What the issuer does to a token that is presented twice.
    pub issuer: IssuerPolicy,
    /// How long the lease may be somebody else's until the attempt gives up.
    pub patience: Duration,
}
