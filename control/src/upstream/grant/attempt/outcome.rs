//! How an attempt ends.

use super::super::record::GrantRecord;
use super::step::{Finished, Verdict};
use super::{Attempt, Stage, Step};
use crate::refused::Refused;

impl Attempt {
    pub(super) fn serve(&mut self, record: Box<GrantRecord>, outcome: Option<&'static str>) -> Step {
        self.finish(Verdict::Serve(record), outcome)
    }

    pub(super) fn refuse(&mut self, refused: Refused, outcome: Option<&'static str>) -> Step {
        self.finish(Verdict::Refuse(refused), outcome)
    }

    /// Refuses as decided before the change was written.
    pub(super) fn refuse_as_decided(
        &mut self,
        verdict: Option<Refused>,
        outcome: Option<&'static str>,
    ) -> Step {
        let refused = verdict.unwrap_or_else(|| tokenward_protocol::refusal::Refusal::Busy.into());
        let outcome = outcome.unwrap_or_else(|| refused.refusal.name());
        self.refuse(refused, Some(outcome))
    }

    fn finish(&mut self, verdict: Verdict, outcome: Option<&'static str>) -> Step {
        self.stage = Stage::Over;
        let outcome = outcome.or(self.superseded.then_some("superseded"));
        Step::Finish(Box::new(Finished { verdict, outcome }))
    }
}
