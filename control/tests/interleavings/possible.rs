//! The actions that are possible in a state of the model.

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::grant::attempt::Step;
use tokenward_protocol::duration::whole_ms;

use crate::setup::Action;
use crate::world::{POLICY, Running, World};

impl World {
    /// All actions that are possible now.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let (budget, mut actions) = (&self.budget, Vec::new());
        for (at, replica) in self.replicas.iter().enumerate() {
            let Some(running) = replica else {
                if budget.starts > 0 {
                    actions.push(Action::Start(at));
                }
                if let Some(client) = self.client.filter(|_| budget.presents > 0) {
                    actions.push(Action::Present(at, false));
                    if client.before != client.held {
                        actions.push(Action::Present(at, true));
                    }
                }
                continue;
            };
            let waits_for_issuer = running.step == Step::Present;
            match (&running.step, &running.answer) {
                (Step::Present, None) => {
                    actions.push(Action::Arrive(at));
                    if budget.failures > 0 {
                        actions.extend([Action::Fail(at), Action::Miss(at)]);
                    }
                }
                (Step::Present, Some(_)) => {
                    actions.push(Action::Go(at));
                    if budget.lost > 0 {
                        actions.push(Action::Lose(at));
                    }
                }
                _ => {
                    actions.push(Action::Go(at));
                    if budget.lost > 0 && self.is_answering(at) {
                        actions.push(Action::Lose(at));
                    }
                }
            }
            let waits_for_issuer = waits_for_issuer || self.is_answering(at);
            if budget.outages > 0 && !waits_for_issuer {
                actions.push(Action::NotDone(at));
                if matches!(running.step, Step::Write { .. } | Step::TakeLease) {
                    actions.push(Action::Unanswered(at));
                }
            }
            if budget.crashes > 0 {
                actions.push(Action::Crash(at));
            }
        }
        if budget.pauses > 0 && !self.is_presented_in_time() {
            actions.push(Action::Pause);
        }
        if budget.logins > 0 {
            actions.push(Action::LogIn);
        }
        if budget.saves > 0 {
            actions.push(Action::Save);
        }
        if budget.rewinds > 0 && self.saved.is_some() {
            actions.push(Action::Rewind);
        }
        actions
    }

    /// Whether a presentation in transit must arrive first. A replica that finds a store rolled back, or an unresolved
    /// announcement, waits until an earlier announcement has had its time. At a strict issuer, which is introspected
    /// then, `issuer_timeout` bounds a presentation, and so does the model.
    fn is_presented_in_time(&self) -> bool {
        let until_ms = self.now_ms + self.pause_ms;
        let is_late = |running: &Running| {
            let since_ms = running.presents_since_ms.filter(|_| running.answer.is_none());
            since_ms.is_some_and(|since_ms| until_ms > since_ms + whole_ms(POLICY.suspect_wait))
        };
        self.policy == IssuerPolicy::Strict && self.replicas.iter().flatten().any(is_late)
    }
}
