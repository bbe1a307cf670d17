//! How requests share the budget: in total, by whether their caller is known, and by age.

use std::sync::Arc;

use proptest::prelude::*;
use tokio::time::{Duration, timeout};

use super::{Admission, Budget, Caller, REQUEST_BYTES, UNKNOWN_SHARE};
use crate::observe::metrics::Metrics;

const LIMIT: usize = 1024 * 1024;
const SHARE: usize = LIMIT / UNKNOWN_SHARE;

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(&Metrics::default()))
}

fn held_bytes(budget: &Budget, caller: Caller) -> usize {
    *budget.state().bytes_of(caller)
}

fn evicted_bytes(budget: &Budget) -> usize {
    budget.state().evicted_bytes
}

/// A request of `bytes` in all that waits for its body.
fn receiving(budget: &Arc<Budget>, caller: Caller, bytes: usize) -> Option<Admission> {
    let admission = budget.admit(caller, bytes.checked_sub(REQUEST_BYTES)?, LIMIT)?;
    admission.body_expected();
    Some(admission)
}

async fn is_evicted(admission: &Admission) -> bool {
    timeout(Duration::ZERO, admission.evicted()).await.is_ok()
}

#[tokio::test]
async fn a_new_request_evicts_the_oldest_one_without_a_credential() {
    let budget = budget();
    let held: Vec<Admission> = (0..4)
        .filter_map(|_| receiving(&budget, Caller::Unknown, SHARE / 4))
        .collect();
    assert_eq!((held.len(), held_bytes(&budget, Caller::Unknown)), (4, SHARE));
    let new = receiving(&budget, Caller::Unknown, SHARE / 4);
    assert!(new.is_some());
    assert_eq!(held_bytes(&budget, Caller::Unknown), SHARE);
    let mut evicted = Vec::new();
    for admission in &held {
        evicted.push(is_evicted(admission).await);
    }
    assert_eq!(evicted, [true, false, false, false]);
    // No more of its body is read, and it holds its bytes until it ends.
    assert!(held[0].grow(1).is_err());
    assert_eq!(evicted_bytes(&budget), SHARE / 4);
    drop(held);
    assert_eq!(
        (held_bytes(&budget, Caller::Unknown), evicted_bytes(&budget)),
        (SHARE / 4, 0)
    );
    drop(new);
    assert_eq!(held_bytes(&budget, Caller::Unknown), 0);
}

#[tokio::test]
async fn an_earlier_request_does_not_evict_a_later_one() {
    let budget = budget();
    let first = receiving(&budget, Caller::Unknown, SHARE / 2).expect("there is room");
    let second = receiving(&budget, Caller::Unknown, SHARE / 2).expect("there is room");
    assert!(first.grow(1).is_err());
    assert!(!is_evicted(&second).await);
    assert!(second.grow(1).is_ok());
    assert!(is_evicted(&first).await);
}

/// A flood admits requests faster than the tasks of evicted ones end.
#[test]
fn evicted_requests_that_have_not_ended_are_limited_to_a_share_of_their_own() {
    let budget = budget();
    let held: Vec<Admission> = (0..1000)
        .filter_map(|_| receiving(&budget, Caller::Unknown, SHARE / 4))
        .collect();
    assert_eq!(held.len(), 8, "four in progress, and four evicted");
    assert_eq!(
        (held_bytes(&budget, Caller::Unknown), evicted_bytes(&budget)),
        (SHARE, SHARE)
    );
    drop(held);
    assert_eq!(
        (held_bytes(&budget, Caller::Unknown), evicted_bytes(&budget)),
        (0, 0)
    );
}

#[test]
fn a_request_that_control_handles_is_not_evicted() {
    let budget = budget();
    let held: Vec<Admission> = (0..4)
        .filter_map(|_| budget.admit(Caller::Unknown, SHARE / 4 - REQUEST_BYTES, LIMIT))
        .collect();
    assert_eq!(held.len(), 4);
    assert!(receiving(&budget, Caller::Unknown, SHARE / 4).is_none());
    assert_eq!(held_bytes(&budget, Caller::Unknown), SHARE);
}

#[tokio::test]
async fn callers_without_a_credential_never_displace_those_with_one() {
    let budget = budget();
    let unknown = receiving(&budget, Caller::Unknown, SHARE).expect("there is room");
    assert!(receiving(&budget, Caller::Unknown, SHARE + 1).is_none());
    // A known caller gets the whole budget, the share of unknown ones too as soon as those have ended.
    assert!(receiving(&budget, Caller::Known, LIMIT).is_none());
    assert!(is_evicted(&unknown).await);
    assert_eq!(held_bytes(&budget, Caller::Unknown), 0);
    drop(unknown);
    let known = receiving(&budget, Caller::Known, LIMIT).expect("there is room");
    assert!(receiving(&budget, Caller::Known, REQUEST_BYTES).is_none());
    assert!(receiving(&budget, Caller::Unknown, REQUEST_BYTES).is_none());
    assert!(!is_evicted(&known).await);
}

#[test]
fn a_caller_that_becomes_known_leaves_the_share_of_unknown_ones() {
    let budget = budget();
    let admission = receiving(&budget, Caller::Unknown, SHARE).expect("there is room");
    admission.set_known();
    let held = (
        held_bytes(&budget, Caller::Unknown),
        held_bytes(&budget, Caller::Known),
    );
    assert_eq!(held, (0, SHARE));
    assert!(receiving(&budget, Caller::Unknown, SHARE).is_some());
    drop(admission);
    assert_eq!(held_bytes(&budget, Caller::Known), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Admit { known: bool, bytes: usize },
    Grow { which: usize, bytes: usize },
    Complete { which: usize },
    End { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = 0..SHARE;
    let step = prop_oneof![
        (any::<bool>(), bytes.clone()).prop_map(|(known, bytes)| Step::Admit { known, bytes }),
        (0..40_usize, bytes).prop_map(|(which, bytes)| Step::Grow { which, bytes }),
        (0..40_usize).prop_map(|which| Step::Complete { which }),
        (0..40_usize).prop_map(|which| Step::End { which }),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn the_limit_holds_after_every_step_and_all_bytes_are_released_at_the_end(steps in steps()) {
        let budget = budget();
        let mut held = Vec::new();
        for step in steps {
            match step {
                Step::Admit { known, bytes } => {
                    let caller = if known { Caller::Known } else { Caller::Unknown };
                    held.extend(receiving(&budget, caller, bytes + REQUEST_BYTES));
                }
                Step::Grow { which, bytes } if which < held.len() => drop(held[which].grow(bytes)),
                Step::Complete { which } if which < held.len() => held[which].set_waiting(None),
                Step::End { which } if which < held.len() => drop(held.swap_remove(which)),
                _ => {}
            }
            let unknown = held_bytes(&budget, Caller::Unknown);
            prop_assert!(unknown <= SHARE, "{unknown}");
            let evicted = evicted_bytes(&budget);
            prop_assert!(evicted <= SHARE, "{evicted}");
            prop_assert!(unknown + evicted + held_bytes(&budget, Caller::Known) <= LIMIT);
        }
        held.clear();
        let left = held_bytes(&budget, Caller::Unknown) + held_bytes(&budget, Caller::Known) + evicted_bytes(&budget);
        prop_assert_eq!(left, 0);
    }
}
