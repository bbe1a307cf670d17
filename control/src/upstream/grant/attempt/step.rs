//! The protocol between an attempt and its driver.

use std::time::Duration;

use super::super::lineage::ObservedLineage;
use super::super::record::{
    GrantRecord, StoredAccessToken, StoredIdToken, StoredRefreshToken, VersionedGrant,
};
use super::super::relayed::{IssuerWords, StoredResponse};
use super::super::rotations::Rotation;
use crate::config::IssuerPolicy;
use crate::refused::Refused;
use crate::store::Revision;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::answer::{Death, Transient};
use crate::upstream::issuer::introspection::Introspected;
use crate::upstream::policy::Policy;

/// The next step. Each one ends with one of the events named with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Acquire the grant's lease: [`Event::LeaseAcquired`], [`Event::LeaseHeld`] or [`Event::StoreFailed`].
    TakeLease,
    /// Check that the lease is still held: [`Event::LeaseConfirmed`].
    ConfirmLease,
    /// Let this time pass: [`Event::Waited`].
    Wait(Duration),
    /// Read the record: [`Event::Read`] or [`Event::StoreFailed`].
    Read,
    /// Write the record if it is still at the revision: [`Event::Written`], [`Event::Conflict`] or
    /// [`Event::StoreFailed`]. An announcement on another lineage than that of the read counts as
    /// [`Event::StoreFailed`].
    Write {
        /// The expected revision.
        at: Revision,
        /// The new record.
        record: Box<GrantRecord>,
    },
    /// Introspect this refresh token at the issuer: [`Event::Introspected`], [`Event::NotReady`] or
    /// [`Event::PreparationFailed`].
    Introspect(StoredRefreshToken),
    /// Open the refresh token, find the token endpoint, obtain a call permit: [`Event::Ready`], [`Event::NotReady`] or
    /// [`Event::PreparationFailed`]. Nothing has been presented when this fails.
    Prepare(StoredRefreshToken),
    /// Present it, once: [`Event::Answered`].
    Present,
    /// Check the new ID token: [`Event::Examined`].
    Examine,
    /// Release the lease if it is held. The attempt is over.
    Finish(Box<Finished>),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// The attempt starts.
    Started,
    /// The lease is held, under this owner.
    LeaseAcquired(String),
    /// Another owner holds the lease.
    LeaseHeld,
    /// Whether the lease is still held.
    LeaseConfirmed(bool),
    /// The wait is over.
    Waited,
    /// The record, if there is one.
    Read(Option<Box<ObservedGrant>>),
    /// The write was done; the record's new revision.
    Written(Revision),
    /// The write was not done, because the record is at another revision; the record that the store holds.
    Conflict(Option<Box<VersionedGrant>>),
    /// The store did not answer: a write may have been done.
    StoreFailed,
    /// What the issuer reports about the refresh token.
    Introspected(Introspected),
    /// The token can be presented.
    Ready,
    /// Not now, for a reason other than this grant.
    NotReady(Refused),
    /// The issuer cannot be called.
    PreparationFailed(Failure),
    /// The issuer's answer.
    Answered(Answer),
    /// The new ID token in its stored form, or what is wrong with it.
    Examined(Result<StoredIdToken, Failure>),
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObservedGrant {
    /// The revision for the next write.
    pub revision: Revision,
    /// The record.
    pub record: GrantRecord,
    /// What this process wrote after that and the store has lost, because it went back in time.
    pub lost_rotation: Option<Box<Rotation>>,
    /// The store's lineage, looked up after the read; only for `strict` issuers.
    pub lineage: Option<ObservedLineage>,
    /// Since when this process has known the record's announcement, Unix ms; only for `strict` issuers.
    pub intent_observed_ms: Option<u64>,
}

/// The issuer's answer, with the new refresh token already sealed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// New tokens.
    Refreshed {
        /// The new refresh token if it differs from the presented one; or the presented one, sealed by a newer key.
        rotated: Option<StoredRefreshToken>,
        /// The access token of the answer, where some server needs it and the response does not have it for clients of the
        /// relay.
        access_token: Option<Box<StoredAccessToken>>,
        /// Why there is no ID token to check; `None` if there is one.
        no_id_token: Option<Failure>,
        /// The whole response, for clients of the relay.
        response: Option<Box<StoredResponse>>,
    },
    /// The refresh token will never work again.
    Dead {
        /// Why.
        death: Death,
        /// The answer itself, for clients of the relay.
        words: Option<IssuerWords>,
    },
    /// An operator must act.
    Misconfigured(String),
    /// Temporary.
    Transient(Transient),
}

/// The time of a transition, and its randomness.
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
    /// The configured durations.
    pub policy: Policy,
    /// How the issuer treats a token that is presented twice.
    pub issuer: IssuerPolicy,
    /// How long the lease may be held by another owner until the attempt gives up.
    pub patience: Duration,
}

/// The result for the waiting callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The record's ID token, or its token response.
    Serve(Box<GrantRecord>),
    /// No token.
    Refuse(Refused),
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finished {
    /// The result for the callers.
    pub verdict: Verdict,
    /// What the attempt did, for the metric; `None` if it did nothing itself.
    pub outcome: Option<&'static str>,
}
