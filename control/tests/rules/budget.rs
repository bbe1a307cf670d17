//! How requests share the bytes that control may hold: in sum, by whether their caller is known, and by age.

use std::sync::Arc;

use proptest::prelude::*;
use tokenward_control::observe::metrics::Metrics;
use tokenward_control::serve::{Admission, Budget, Caller, REQUEST_BYTES, UNKNOWN_SHARE};
use tokio::time::{Duration, timeout};

const LIMIT: usize = 1024 * 1024;
const SHARE: usize = LIMIT / UNKNOWN_SHARE;

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(&Metrics::default()))
}

/// A request whose body arrives, of this size with everything.
fn arriving(budget: &Arc<Budget>, caller: Caller, bytes: usize) -> Option<Admission> {
    let admission = budget.admit(caller, bytes.checked_sub(REQUEST_BYTES)?, LIMIT)?;
    admission.arriving();
    Some(admission)
}

async fn is_pushed_out(admission: &Admission) -> bool {
    timeout(Duration::ZERO, admission.pushed_out()).await.is_ok()
}

#[tokio::test]
async fn the_oldest_caller_without_a_credential_makes_room_for_a_new_one() {
    let budget = budget();
    let held: Vec<Admission> = (0..4)
        .filter_map(|_| arriving(&budget, Caller::Unknown, SHARE / 4))
        .collect();
    assert_eq!((held.len(), budget.held_bytes(Caller::Unknown)), (4, SHARE));
    let new = arriving(&budget, Caller::Unknown, SHARE / 4);
    assert!(new.is_some());
    assert_eq!(budget.held_bytes(Caller::Unknown), SHARE);
    let mut pushed_out = Vec::new();
    for admission in &held {
        pushed_out.push(is_pushed_out(admission).await);
    }
    assert_eq!(pushed_out, [true, false, false, false]);
    // Nothing more is read of it, and it holds what it has until it ends.
    assert!(held[0].grow(1).is_err());
    assert_eq!(budget.leaving_bytes(), SHARE / 4);
    drop(held);
    assert_eq!(
        (budget.held_bytes(Caller::Unknown), budget.leaving_bytes()),
        (SHARE / 4, 0)
    );
    drop(new);
    assert_eq!(budget.held_bytes(Caller::Unknown), 0);
}

#[tokio::test]
async fn who_came_first_does_not_grow_at_the_cost_of_who_came_later() {
    let budget = budget();
    let first = arriving(&budget, Caller::Unknown, SHARE / 2).expect("there is room");
    let second = arriving(&budget, Caller::Unknown, SHARE / 2).expect("there is room");
    assert!(first.grow(1).is_err());
    assert!(!is_pushed_out(&second).await);
    assert!(second.grow(1).is_ok());
    assert!(is_pushed_out(&first).await);
}

/// A flood is faster than the tasks of those that are pushed out.
#[test]
fn what_is_pushed_out_and_has_not_ended_is_bounded_by_the_share_again() {
    let budget = budget();
    let held: Vec<Admission> = (0..1000)
        .filter_map(|_| arriving(&budget, Caller::Unknown, SHARE / 4))
        .collect();
    assert_eq!(
        held.len(),
        8,
        "four that hold their place, and four that were pushed out"
    );
    assert_eq!(
        (budget.held_bytes(Caller::Unknown), budget.leaving_bytes()),
        (SHARE, SHARE)
    );
    drop(held);
    assert_eq!(
        (budget.held_bytes(Caller::Unknown), budget.leaving_bytes()),
        (0, 0)
    );
}

#[test]
fn a_request_that_control_is_working_for_is_not_pushed_out() {
    let budget = budget();
    let held: Vec<Admission> = (0..4)
        .filter_map(|_| budget.admit(Caller::Unknown, SHARE / 4 - REQUEST_BYTES, LIMIT))
        .collect();
    assert_eq!(held.len(), 4);
    assert!(arriving(&budget, Caller::Unknown, SHARE / 4).is_none());
    assert_eq!(budget.held_bytes(Caller::Unknown), SHARE);
}

#[tokio::test]
async fn callers_without_a_credential_never_take_what_is_for_those_with_one() {
    let budget = budget();
    let unknown = arriving(&budget, Caller::Unknown, SHARE).expect("there is room");
    assert!(arriving(&budget, Caller::Unknown, SHARE + 1).is_none());
    // Known ones get all, that of the others too as soon as these have ended.
    assert!(arriving(&budget, Caller::Known, LIMIT).is_none());
    assert!(is_pushed_out(&unknown).await);
    assert_eq!(budget.held_bytes(Caller::Unknown), 0);
    drop(unknown);
    let known = arriving(&budget, Caller::Known, LIMIT).expect("there is room");
    assert!(arriving(&budget, Caller::Known, REQUEST_BYTES).is_none());
    assert!(arriving(&budget, Caller::Unknown, REQUEST_BYTES).is_none());
    assert!(!is_pushed_out(&known).await);
}

#[test]
fn a_caller_that_becomes_known_leaves_the_share_of_the_others() {
    let budget = budget();
    let admission = arriving(&budget, Caller::Unknown, SHARE).expect("there is room");
    admission.is_known();
    let held = (
        budget.held_bytes(Caller::Unknown),
        budget.held_bytes(Caller::Known),
    );
    assert_eq!(held, (0, SHARE));
    assert!(arriving(&budget, Caller::Unknown, SHARE).is_some());
    drop(admission);
    assert_eq!(budget.held_bytes(Caller::Known), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Admit { known: bool, bytes: usize },
    Grow { which: usize, bytes: usize },
    Whole { which: usize },
    End { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = 0..SHARE;
    let step = prop_oneof![
        (any::<bool>(), bytes.clone()).prop_map(|(known, bytes)| Step::Admit { known, bytes }),
        (0..40_usize, bytes).prop_map(|(which, bytes)| Step::Grow { which, bytes }),
        (0..40_usize).prop_map(|which| Step::Whole { which }),
        (0..40_usize).prop_map(|which| Step::End { which }),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_bound_holds_after_every_step_and_nothing_is_left_at_the_end(steps in steps()) {
        let budget = budget();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Admit { known, bytes } => {
                    let caller = if known { Caller::Known } else { Caller::Unknown };
                    held.extend(arriving(&budget, caller, bytes + REQUEST_BYTES));
                }
                Step::Grow { which, bytes } if which < held.len() => drop(held[which].grow(bytes)),
                Step::Whole { which } if which < held.len() => held[which].waits_for_client(None),
                Step::End { which } if which < held.len() => drop(held.swap_remove(which)),
                _ => {}
            }
            let unknown = budget.held_bytes(Caller::Unknown);
            prop_assert!(unknown <= SHARE, "{unknown}");
            let leaving = budget.leaving_bytes();
            prop_assert!(leaving <= SHARE, "{leaving}");
            prop_assert!(unknown + leaving + budget.held_bytes(Caller::Known) <= LIMIT);
        }
        held.clear();
        let left = budget.held_bytes(Caller::Unknown) + budget.held_bytes(Caller::Known) + budget.leaving_bytes();
        prop_assert_eq!(left, 0);
    }
}
