//! How an attempt ends.

use super::super::record::GrantRecord;
use super::{Attempt, Stage, Step};
use crate::refused::Refused;

/// What the waiting callers are refuse_as_decided.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The record's ID token.
    Serve(Box<GrantRecord>),
    /// No token.
    Refuse(Refused),
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Finished {
    /// For the callers.
    pub verdict: Verdict,
    /// What the attempt did, for the metric; `None` when it was not this attempt that did anything.
    pub outcome: Option<&'static str>,
}

impl Attempt {
    pub(super) fn serve(&mut self, record: Box<GrantRecord>, outcome: Option<&'static str>) -> Step {
        self.finish(Verdict::Serve(record), outcome)
    }

    pub(super) fn refuse(&mut self, refused: Refused, outcome: Option<&'static str>) -> Step {
        self.finish(Verdict::Refuse(refused), outcome)
    }

    /// What was decided before it was written down.
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
