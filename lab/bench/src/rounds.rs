//! One round: every lane for a moment, each between moments of what it is compared with.
//!
//! A machine may change its speed from one second to the next (its hypervisor, its heat). What is measured within a
//! fifth of a second has mostly seen the same speed, so what is compared is measured that close together, and often.

use std::time::{Duration, Instant};

use super::data_path::All;
use super::lanes::{FLOOR, Lane, NO_FILTER};
use super::load::{Done, Until};
use super::setting::{Counted, Setting};
use super::statistics::mean;

/// How long after the last answer every request must have been counted.
const COUNTED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What rounds are made of.
pub(super) struct Rounds<'a> {
    /// Everything that runs.
    pub(super) setting: &'a Setting,
    /// What is measured, with the lanes that it is compared with.
    pub(super) lanes: &'a [Lane],
    /// How long each moment is.
    pub(super) moment: Duration,
    /// Connections of the load generator.
    pub(super) connections: usize,
}

/// One lane for a moment.
struct Moment {
    lane: Lane,
    /// Envoy's CPU per request.
    cpu_us: f64,
    done: Done,
}

impl Rounds<'_> {
    /// V8 optimises what runs often, and the first request of a lane calls control. Each lane is checked alone.
    ///
    /// # Errors
    /// When a lane does not do what its name states.
    pub(super) async fn warm_up(&self, duration: Duration) -> anyhow::Result<()> {
        for lane in self.lanes {
            self.setting
                .load(lane, 1)
                .await?
                .closed_loop(Until::Sent(1))
                .await?;
            let before = self.setting.counted(self.lanes).await?;
            let moment = self.measure(lane, duration).await?;
            self.accounted_for(&[moment], &before).await?;
        }
        Ok(())
    }

    /// Measures the round with this number into `all`. Every request of it is accounted for.
    ///
    /// # Errors
    /// When a lane does not do what its name states.
    pub(super) async fn run(&self, number: usize, all: &mut All) -> anyhow::Result<()> {
        let before = self.setting.counted(self.lanes).await?;
        let mut moments = Vec::new();
        for lane in plan(self.lanes, number) {
            moments.push(self.measure(lane, self.moment).await?);
        }
        self.accounted_for(&moments, &before).await?;
        for lane in self.lanes {
            if let Some(of_lane) = all.get_mut(lane.name) {
                note(of_lane, lane, &moments, number);
            }
        }
        Ok(())
    }

    async fn measure(&self, lane: &Lane, duration: Duration) -> anyhow::Result<Moment> {
        let mut load = self.setting.load(lane, self.connections).await?;
        let (cpu_us, done) = self
            .setting
            .gateway
            .cost_us(&mut load, Until::Elapsed(duration))
            .await?;
        Ok(Moment {
            lane: *lane,
            cpu_us,
            done,
        })
    }

    /// Waits until the counters show what was done: the filter publishes some of its counts at its next tick.
    async fn accounted_for(&self, moments: &[Moment], before: &Counted) -> anyhow::Result<()> {
        let limit = Instant::now() + COUNTED_WITHIN;
        let sent: Vec<(Lane, u64)> = moments
            .iter()
            .map(|moment| (moment.lane, moment.done.requests))
            .collect();
        loop {
            let checked = before.check(&sent, &self.setting.counted(self.lanes).await?);
            if checked.is_ok() || Instant::now() > limit {
                return checked;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// The order of a round: a moment of `no_filter` and of the floor, then a lane, then the two again, and so on. A lane with
/// a base of its own stands between two moments of that. Each round begins with another lane, and the order of the
/// two between lanes changes, so that nothing always follows the same thing.
fn plan(lanes: &[Lane], number: usize) -> Vec<&Lane> {
    let named = |name: &str| lanes.iter().find(|lane| lane.name == name);
    let bracket = |turn: usize| {
        let names = match turn % 2 {
            0 => [NO_FILTER, FLOOR],
            _ => [FLOOR, NO_FILTER],
        };
        names.into_iter().filter_map(named)
    };
    let others: Vec<&Lane> = lanes
        .iter()
        .filter(|lane| !is_compared_with(lanes, lane))
        .collect();
    let mut plan: Vec<&Lane> = bracket(number).collect();
    let (count, first) = (others.len(), number % others.len().max(1));
    for (turn, lane) in others.iter().cycle().skip(first).take(count).enumerate() {
        let own_base = named(lane.base).filter(|base| base.name != NO_FILTER);
        plan.extend(own_base);
        plan.push(lane);
        plan.extend(own_base);
        plan.extend(bracket(number + turn + 1));
    }
    plan
}

/// Whether it is measured beside others anyway.
fn is_compared_with(lanes: &[Lane], lane: &Lane) -> bool {
    lane.name == FLOOR || lanes.iter().any(|other| other.base == lane.name)
}

/// Adds a round to what is known of a lane. Of the lanes that have many moments in a round one counts, each round
/// another: the smallest of more values would be smaller.
fn note(of_lane: &mut super::data_path::Measured, lane: &Lane, moments: &[Moment], number: usize) {
    let own: Vec<usize> = (0..moments.len())
        .filter(|at| moments[*at].lane.name == lane.name)
        .collect();
    let Some(&at) = own.get(number % own.len().max(1)) else {
        return;
    };
    let Moment { cpu_us, done, .. } = moments[at];
    of_lane.requests += own.iter().map(|at| moments[*at].done.requests).sum::<u64>();
    of_lane.cpu_us.push(cpu_us);
    of_lane.per_second.push(done.requests as f64 / done.seconds);
    of_lane.added_us.push(cpu_us - beside(moments, at, lane.base));
    let floor_added_us = beside(moments, at, FLOOR) - beside(moments, at, NO_FILTER);
    of_lane.floor_added_us.push(floor_added_us);
}

/// Cost of the lane with this name beside the moment `at`: of that moment itself, or the mean of the nearest ones
/// before and after it.
fn beside(moments: &[Moment], at: usize, name: &str) -> f64 {
    let is_it = |moment: &&Moment| moment.lane.name == name;
    if moments.get(at).is_some_and(|moment| is_it(&moment)) {
        return moments[at].cpu_us;
    }
    let before = moments[..at].iter().rev().find(is_it);
    let after = moments[at..].iter().find(is_it);
    let nearest: Vec<f64> = [before, after]
        .into_iter()
        .flatten()
        .map(|moment| moment.cpu_us)
        .collect();
    mean(&nearest)
}
