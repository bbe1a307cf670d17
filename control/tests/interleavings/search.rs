//! All interleavings of a setup, each state once; or those that a list of numbers selects.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::promises::{Ending, check_state, check_successor, check_transition, quiesced};
use crate::setup::{Action, Setup};
use crate::world::World;

/// The result of a search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) states: usize,
    /// States after which a successor serves, and after which it must require a login.
    pub(crate) served: usize,
    pub(crate) ended: usize,
}

impl Seen {
    fn count(&mut self, ending: Ending) {
        self.states += 1;
        match ending {
            Ending::Served => self.served += 1,
            Ending::NeedsLogin => self.ended += 1,
        }
    }
}

fn state_hash(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Visits every reachable state.
///
/// # Panics
/// If an invariant is violated, with the sequence of actions.
pub(crate) fn every_state(setup: &Setup) -> Seen {
    let mut seen = Seen::default();
    let mut visited = HashSet::new();
    // The predecessor of each state, for the report.
    let mut ways: Vec<(usize, Action)> = Vec::new();
    let begin = World::new(setup);
    visited.insert(state_hash(&begin));
    // Many states are equal once all activity has ended.
    let mut endings = HashMap::new();
    seen.count(check_successor(quiesced(&begin)).expect("the beginning"));
    let mut open = vec![(begin, usize::MAX)];
    while let Some((world, way)) = open.pop() {
        for action in world.actions() {
            let mut next = world.clone();
            next.happen(action);
            let checked = check_transition(&world, &next, action).and_then(|()| check_state(&next));
            ways.push((way, action));
            let way = ways.len() - 1;
            if let Err(broken) = checked {
                panic!("{broken}\n{setup:?}\n{:?}\n{:?}", trace(&ways, way), next.record);
            }
            if !visited.insert(state_hash(&next)) {
                ways.pop();
                continue;
            }
            let quiet = quiesced(&next);
            let ending = endings
                .entry(state_hash(&quiet))
                .or_insert_with(|| check_successor(quiet));
            match ending {
                Ok(ending) => seen.count(*ending),
                Err(broken) => panic!(
                    "then all processes crash: {broken}\n{setup:?}\n{:?}\n{:?}",
                    trace(&ways, way),
                    next.record
                ),
            }
            open.push((next, way));
        }
    }
    seen
}

fn trace(ways: &[(usize, Action)], mut way: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some((before, action)) = ways.get(way) {
        actions.push(*action);
        way = *before;
    }
    actions.reverse();
    actions
}

fn step(world: &mut World, action: Action) -> Result<Ending, String> {
    let before = world.clone();
    world.happen(action);
    check_transition(&before, world, action)?;
    check_state(world)?;
    check_successor(quiesced(world)).map_err(|broken| format!("then all processes crash: {broken}"))
}

/// Runs exactly these actions, all of which must be possible. Returns the outcome for the login after the last one.
///
/// # Errors
/// The violated invariant.
pub(crate) fn scripted(setup: &Setup, actions: &[Action]) -> Result<Ending, String> {
    let (mut world, mut ending) = (World::new(setup), Ending::Served);
    for (at, action) in actions.iter().enumerate() {
        if !world.actions().contains(action) {
            return Err(format!(
                "{action:?} (number {at}) is not possible: {:?}",
                world.actions()
            ));
        }
        ending = step(&mut world, *action)
            .map_err(|broken| format!("after {action:?} (number {at}): {broken}"))?;
    }
    Ok(ending)
}

/// One sequence: each number selects one of the possible actions.
///
/// # Errors
/// The violated invariant.
pub(crate) fn one_way(setup: &Setup, choices: &[u16]) -> Result<Ending, String> {
    let (mut world, mut way) = (World::new(setup), Vec::new());
    for choice in choices {
        let actions = world.actions();
        let Some(action) = actions.get(usize::from(*choice) % actions.len().max(1)) else {
            break;
        };
        way.push(*action);
        step(&mut world, *action).map_err(|broken| format!("{broken} after {way:?}"))?;
    }
    check_successor(quiesced(&world))
}
