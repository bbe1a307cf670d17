//! All interleavings of a setup, each state once; or those that a list of numbers chooses.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::promises::{Ending, of_a_change, of_a_moment, of_an_heir, quieted};
use crate::setup::{Action, Setup};
use crate::world::World;

/// What a search has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) states: usize,
    /// States from which the heir serves, and from which it must send the user to log in.
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

fn mark(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Visits every state that can be reached.
///
/// # Panics
/// When a promise is broken, with everything that happened until then.
pub(crate) fn everything(setup: &Setup) -> Seen {
    let mut seen = Seen::default();
    let mut visited = HashSet::new();
    // Where each state came from, for the report.
    let mut ways: Vec<(usize, Action)> = Vec::new();
    let begin = World::new(setup);
    visited.insert(mark(&begin));
    // Many states are the same once everything is quiet.
    let mut endings = HashMap::new();
    seen.count(of_an_heir(quieted(&begin)).expect("the beginning"));
    let mut open = vec![(begin, usize::MAX)];
    while let Some((world, way)) = open.pop() {
        for action in world.actions() {
            let mut next = world.clone();
            next.happen(action);
            let checked = of_a_change(&world, &next, action).and_then(|()| of_a_moment(&next));
            ways.push((way, action));
            let way = ways.len() - 1;
            if let Err(broken) = checked {
                panic!("{broken}\n{setup:?}\n{:?}\n{:?}", told(&ways, way), next.record);
            }
            if !visited.insert(mark(&next)) {
                ways.pop();
                continue;
            }
            let quiet = quieted(&next);
            let ending = endings.entry(mark(&quiet)).or_insert_with(|| of_an_heir(quiet));
            match ending {
                Ok(ending) => seen.count(*ending),
                Err(broken) => panic!(
                    "then everybody dies: {broken}\n{setup:?}\n{:?}\n{:?}",
                    told(&ways, way),
                    next.record
                ),
            }
            open.push((next, way));
        }
    }
    seen
}

fn told(ways: &[(usize, Action)], mut way: usize) -> Vec<Action> {
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
    of_a_change(&before, world, action)?;
    of_a_moment(world)?;
    of_an_heir(quieted(world)).map_err(|broken| format!("then everybody dies: {broken}"))
}

/// Exactly these actions; all of them must be possible. Answers how the login goes on after the last.
///
/// # Errors
/// The promise that is broken.
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

/// One way through: each number chooses among what may happen.
///
/// # Errors
/// The promise that is broken.
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
    of_an_heir(quieted(&world))
}
