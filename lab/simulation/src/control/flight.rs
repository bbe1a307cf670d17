//! Work of one replica that several callers wait for: a refresh, driven by the product's own state machine, or an exchange.

use std::time::Duration;

use tokenward_control::coordination::lease::LeaseQueue;
use tokenward_control::upstream::grant::attempt::{Attempt, Event};
use tokenward_control::upstream::grant::decide::Want;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::issuer::Cause;
use crate::message::Call;
use crate::token::Stamp;

/// A replica, in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) replica: usize,
    pub(super) life: u32,
}

/// A refusal with the time to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct No {
    pub(super) refusal: Refusal,
    pub(super) retry_after_seconds: Option<u64>,
}

impl No {
    pub(super) fn new(refusal: Refusal) -> Self {
        Self {
            refusal,
            retry_after_seconds: None,
        }
    }

    pub(super) fn after(refusal: Refusal, wait: Duration) -> Self {
        Self {
            refusal,
            retry_after_seconds: Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }
}

/// What waits for a refresh.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A caller.
    Call(Call),
    /// An exchange, by its flight.
    Exchange(u32),
}

/// A refresh.
#[derive(Debug)]
pub(super) struct GrantFlight {
    pub(super) at: At,
    pub(super) user: u32,
    pub(super) attempt: Box<Attempt>,
    pub(super) cause: Cause,
    pub(super) holder: String,
    pub(super) holds_lease: bool,
    /// Whether it holds one of the permitted calls to the issuer.
    pub(super) has_permit: bool,
    /// The new ID token.
    pub(super) stamp: Option<Stamp>,
    pub(super) waiting: Vec<Waiter>,
}

/// How far an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The lease is free, or another replica has it.
    Leasing,
    /// The record is read under the lease.
    Reading,
    /// The user's own token is needed first.
    Subject,
    /// The limits let the call through, or not.
    Permit,
    /// The remote issuer works.
    Calling,
    /// The result is written.
    Storing,
}

/// An exchange.
#[derive(Debug)]
pub(super) struct ExchangeFlight {
    pub(super) at: At,
    pub(super) user: u32,
    pub(super) server: u16,
    pub(super) reason: Reason,
    pub(super) presented: Stamp,
    pub(super) stage: Stage,
    pub(super) queue: LeaseQueue,
    pub(super) holder: String,
    pub(super) holds_lease: bool,
    pub(super) waiting: Vec<Call>,
}

/// One or the other.
#[derive(Debug)]
pub(super) enum Flight {
    Grant(GrantFlight),
    Exchange(ExchangeFlight),
}

/// What happens at a moment.
#[derive(Debug)]
pub(super) enum Due {
    /// A refresh's step has ended.
    Grant(u32, Event),
    /// An exchange's step has ended.
    Exchange(u32, Step),
    /// Flights wait for the limits of an issuer in this replica: the home issuer is number 0.
    Limits(At, usize),
    /// A caller has waited long enough.
    Deadline(u32, Call),
    /// A refused caller gets its answer.
    Refuse(At, Call, No),
}

/// How a step of an exchange ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// It is over.
    Done,
    /// The store did not answer.
    StoreFailed,
    /// The subject token is there, or not.
    Subject(Result<(), No>),
    /// The call may be made, or not.
    Permit(Result<(), No>),
}

/// What a call wants of the user's own grant.
pub(super) fn want(reason: Reason, presented_fingerprint: String) -> Want {
    Want::id_token(reason, presented_fingerprint, Default::default())
}
