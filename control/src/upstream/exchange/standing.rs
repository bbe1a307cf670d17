//! What control knows of the user whose token is exchanged: a registered login, none, or one that has ended. Pure.

use super::record::ExchangeRecord;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::grant::Served;
use crate::upstream::grant::login::has_ended;
use crate::upstream::grant::record::{GrantRecord, GrantState};

/// The user's relation to control at the time of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is a login, which the caller is entitled to.
    Registered,
    /// There is no login. The presented token alone proves the user, and only while it is fresh.
    Unregistered {
        /// How often the user has signed out everywhere.
        sign_outs: u64,
        /// The last sign-out, Unix ms, while its record lasts: what was made earlier is over.
        signed_out_at_ms: Option<u64>,
    },
    /// The user signed out after the token was issued, or the caller's session is over.
    Ended,
}

impl Standing {
    /// The standing by the grant's `record` of a caller with `entitlement`.
    #[must_use]
    pub fn of(record: Option<&GrantRecord>, entitlement: Entitlement) -> Self {
        let Some(record) = record else {
            return Self::Unregistered {
                sign_outs: 0,
                signed_out_at_ms: None,
            };
        };
        let GrantState::SignedOut { since_ms } = record.state else {
            return if entitlement.is_revoked(record) {
                Self::Ended
            } else {
                Self::Registered
            };
        };
        let is_of_other_count = entitlement.sign_outs.is_some_and(|then| then != record.sign_outs);
        if is_of_other_count || has_ended(record, entitlement.issued_at_seconds) {
            return Self::Ended;
        }
        Self::Unregistered {
            sign_outs: record.sign_outs,
            signed_out_at_ms: Some(since_ms),
        }
    }

    /// Whether what was begun with this standing may be finished with the standing `after`: no sign-out came in between.
    #[must_use]
    pub fn lasts_as(self, after: Self) -> bool {
        match (self, after) {
            (_, Self::Ended) | (Self::Registered | Self::Ended, Self::Unregistered { .. }) => false,
            (_, Self::Registered) => true,
            (Self::Unregistered { .. }, Self::Unregistered { .. }) => self == after,
        }
    }

    /// `served` with its limit: without a login the presented token, which expires at `presented_exp_seconds`, is all that
    /// stands for the user, so nothing made from it is of use to the caller for longer.
    #[must_use]
    pub fn bounded(self, served: Served, presented_exp_seconds: u64) -> Served {
        match self {
            Self::Registered => served,
            Self::Unregistered { .. } | Self::Ended => Served {
                usable_until_seconds: served.usable_until_seconds.min(presented_exp_seconds),
                ..served
            },
        }
    }

    /// `record` without a token that was made before the user's last sign-out. A sign-out deletes such tokens; one that
    /// was interrupted could not.
    #[must_use]
    pub fn without_ended_token(self, mut record: ExchangeRecord) -> ExchangeRecord {
        if let Self::Unregistered {
            signed_out_at_ms: Some(since_ms),
            ..
        } = self
        {
            record.token = record.token.filter(|token| token.made_at_ms > since_ms);
        }
        record
    }
}
