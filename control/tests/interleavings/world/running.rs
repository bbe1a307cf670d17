//! A replica of the model at work.

use std::time::Duration;

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::entitlement::Entitlement;
use tokenward_control::upstream::grant::attempt::{Answer, Attempt, AttemptConfig, Step};
use tokenward_control::upstream::grant::decide::Want;
use tokenward_protocol::token_endpoint::Reason;

use super::POLICY;
use super::client::Phase;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Running {
    pub(crate) attempt: Attempt,
    pub(crate) step: Step,
    /// The issuer's answer in transit to this replica.
    pub(crate) answer: Option<Answer>,
    pub(super) holder: String,
    /// Fingerprint of the refresh token that the issuer issued to this attempt.
    pub(super) rotated: Option<String>,
    /// What it does for a client of the relay.
    pub(crate) phase: Option<Phase>,
    /// Since when a presentation is pending, in true time.
    pub(crate) presents_since_ms: Option<u64>,
}

impl Running {
    /// A replica that makes no attempt.
    pub(super) fn idle(holder: u32) -> Self {
        let want = Want::id_token(Reason::Stale, "none", Entitlement::default());
        let config = AttemptConfig {
            policy: POLICY,
            issuer: IssuerPolicy::Tolerant,
            patience: Duration::ZERO,
        };
        Self {
            attempt: Attempt::new(want, config),
            step: Step::Read,
            answer: None,
            holder: format!("h{holder}"),
            rotated: None,
            phase: None,
            presents_since_ms: None,
        }
    }
}
