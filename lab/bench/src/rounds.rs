//! One round: every lane for a moment, each between moments of what it is compared with.
//!
//! A machine may change its speed from one second to the next (its hypervisor, its heat). What is measured within that
//! time has mostly seen the same speed, so a lane is compared with its base that close together, and often.
//! The floors are measured many times in a round: as a share of `no_filter` beside them their cost does not depend on the
//! speed, and the mean of the round's shares is far more exact than the two moments that happen to be beside a lane.

use std::time::{Duration, Instant};

use super::data_path::{All, Measured};
use super::h2load::H2load;
use super::lanes::{BARE, FLOOR, Lane, NO_FILTER};
use super::load::{Done, Until};
use super::setting::{Counted, Setting};
use super::statistics::mean;

/// How long after the last answer every request must have been counted.
pub(super) const COUNTED_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;

/// What rounds are made of.
pub(super) struct Rounds<'a> {
    /// Everything that runs.
    pub(super) setting: &'a Setting,
    /// What is measured, with the lanes that it is compared with.
    pub(super) lanes: &'a [Lane],
    /// What makes the load of each moment.
    pub(super) load: Generator<'a>,
    /// Connections of the load generator.
    pub(super) connections: usize,
}

/// A load generator, and how much load it makes in a moment.
#[derive(Clone, Copy)]
pub(super) enum Generator<'a> {
    /// The own one, for a time.
    Own(Duration),
    /// The other one, with a number of requests for each lane.
    H2load(&'a H2load, &'a dyn Fn(&Lane) -> u64),
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
            let moment = self.measure(lane, Generator::Own(duration)).await?;
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
            moments.push(self.measure(lane, self.load).await?);
        }
        self.accounted_for(&moments, &before).await?;
        for lane in self.lanes {
            if let Some(of_lane) = all.get_mut(lane.name) {
                note(of_lane, lane, &moments, number);
            }
        }
        Ok(())
    }

    async fn measure(&self, lane: &Lane, load: Generator<'_>) -> anyhow::Result<Moment> {
        let (setting, connections) = (self.setting, self.connections);
        let (cpu_us, done) = match load {
            Generator::Own(duration) => {
                let mut load = setting.load(lane, connections).await?;
                let until = Until::Elapsed(duration);
                setting.gateway.cost_us(&mut load, until).await?
            }
            Generator::H2load(h2load, requests) => {
                let requests = requests(lane);
                setting
                    .cost_by_h2load_us(h2load, lane, connections, requests)
                    .await?
            }
        };
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

/// The order of a round: a moment of `no_filter` and of one of the floors, then a lane, then two of these again, and so on. A
/// lane with a base or a floor of its own stands between moments of those. Each round begins with another lane, and what
/// stands between two lanes changes, so that nothing always follows the same thing.
fn plan(lanes: &[Lane], number: usize) -> Vec<&Lane> {
    let named = |name: &str| lanes.iter().find(|lane| lane.name == name);
    let between = |turn: usize| {
        let names = match turn % 4 {
            0 => [NO_FILTER, FLOOR],
            1 => [BARE, NO_FILTER],
            2 => [FLOOR, NO_FILTER],
            _ => [NO_FILTER, BARE],
        };
        names.into_iter().filter_map(named)
    };
    let others: Vec<&Lane> = lanes
        .iter()
        .filter(|lane| !is_compared_with(lanes, lane))
        .collect();
    let mut plan: Vec<&Lane> = between(number).collect();
    let (count, first) = (others.len(), number % others.len().max(1));
    for (turn, lane) in others.iter().cycle().skip(first).take(count).enumerate() {
        let own_base = named(lane.base).filter(|base| base.name != NO_FILTER);
        let own_floor = named(lane.floor).filter(|floor| floor.name != FLOOR);
        plan.extend(own_base.into_iter().chain(own_floor));
        plan.push(lane);
        plan.extend(own_floor.into_iter().chain(own_base));
        plan.extend(between(number + turn + 1));
    }
    plan
}

/// Whether it is measured beside others anyway.
fn is_compared_with(lanes: &[Lane], lane: &Lane) -> bool {
    let is_of =
        |other: &Lane| other.name != lane.name && (other.base == lane.name || other.floor == lane.name);
    [NO_FILTER, FLOOR, BARE].contains(&lane.name) || lanes.iter().any(is_of)
}

/// Adds a round to what is known of a lane. Of the costs of a lane with many moments in a round one counts, each round
/// another: the smallest of more values would be smaller.
fn note(of_lane: &mut Measured, lane: &Lane, moments: &[Moment], number: usize) {
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
    let added_us = |at: usize| moments[at].cpu_us - beside(moments, at, lane.base);
    of_lane.added_us.push(added_us(at));
    // What a machine that runs at another speed changes, it changes of both.
    let shares: Vec<f64> = own
        .iter()
        .map(|at| added_us(*at) / beside(moments, *at, NO_FILTER))
        .collect();
    of_lane.added_shares.push(mean(&shares));
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
