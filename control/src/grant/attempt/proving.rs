//! Before a strict issuer's refresh token is presented: is it the newest that there ever was?

use tokenward_protocol::refusal::Refusal;

use super::super::lines::{Line, Proof, proof};
use super::super::record::{DeathReason, KeptRefreshToken};
use super::answered::contested;
use super::change::Edit;
use super::{Attempt, Stage, Step};
use crate::issuer::introspection::Introspected;
use crate::refused::Refused;

impl Attempt {
    /// The store's line of writes when the record was looked at.
    #[must_use]
    pub fn line(&self) -> Option<&Line> {
        self.seen.as_ref()?.line.as_ref()
    }

    pub(super) fn prove(&mut self, token: KeptRefreshToken, now_ms: u64) -> Step {
        let judged = match &self.seen {
            Some(seen) => seen
                .line
                .as_ref()
                .map(|line| proof(&seen.record, line, &self.terms.policy, now_ms)),
            None => None,
        };
        match judged {
            None | Some(Proof::Newest) => self.at(Stage::Preparing, Step::Prepare(token)),
            Some(Proof::WaitOut(left)) => self.refuse(contested().retry_after(left), None),
            Some(Proof::AskIssuer) => self.at(Stage::Proving, Step::Introspect(token)),
        }
    }

    pub(super) fn introspected(&mut self, introspected: Introspected, now_ms: u64) -> Step {
        let token = self.record().and_then(|record| record.refresh_token.clone());
        match (introspected, token) {
            (Introspected::Unused, Some(token)) => self.at(Stage::Preparing, Step::Prepare(token)),
            (Introspected::Unused, None) => self.refuse(Refusal::NeedsLogin.into(), None),
            (Introspected::UsedUp, _) => self.end_seen(DeathReason::Forgotten, now_ms),
            (Introspected::NotTold, _) => self.end_seen(DeathReason::Unproven, now_ms),
        }
    }

    /// Ends the login, if its record is still the one that was looked at.
    pub(super) fn end_seen(&mut self, reason: DeathReason, now_ms: u64) -> Step {
        self.verdict = Some(Refused::new(Refusal::NeedsLogin).because(reason.says()));
        let mark = self.mark(None);
        self.change_seen(Edit::End { reason, mark }, now_ms)
    }
}
