//! Counters: the first event of a kind between two reports is reported to the host at once, the following ones in one sum.
//! Under load that saves a host call for each request; a quiet counter is never late. Sums are reported at every tick, or once
//! in ten ticks while so many counters are in use that nearly every event would be the first of its kind.

use super::calls;
use tokenward_filter_core::metric::{Event, Metric};

/// Counters in use between two ticks up to which their sums are reported at the tick.
const MOST_AT_EACH_TICK: usize = 64;
/// Ticks after which sums are reported however many they are.
const LONGEST_TICKS: u32 = 10;

/// The counters of one worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By server (the first for requests without one) and [`Event::group`], each with the few events that it has seen:
    /// clients choose the group, and none of them may make the look-ups of others longer.
    servers: Vec<Vec<Vec<Counter>>>,
    /// Places in `servers` of those that were counted since the last report.
    counted: Vec<(usize, usize, usize)>,
    /// Ticks since the last report.
    ticks: u32,
}

#[derive(Debug)]
struct Counter {
    event: Event,
    /// The host's number for it: defining a counter costs ten times as much as counting.
    id: u32,
    /// Whether one was reported to the host since the last report of sums.
    reported: bool,
    unreported: i64,
}

impl Counters {
    /// Counts one event.
    pub(super) fn count(&mut self, metric: &Metric<'_>) {
        let server = metric.server.number.map_or(0, |number| number.saturating_add(1));
        let group = metric.event.group();
        let Some(counters) = grown(&mut self.servers, server).and_then(|groups| grown(groups, group)) else {
            return;
        };
        let known = counters.iter().position(|counter| counter.event == metric.event);
        let Some(at) = known.or_else(|| define(counters, metric)) else {
            return;
        };
        let Some(counter) = counters.get_mut(at) else {
            return;
        };
        if counter.reported {
            counter.unreported = counter.unreported.saturating_add(1);
        } else {
            calls::increment(counter.id, 1);
            counter.reported = true;
            self.counted.push((server, group, at));
        }
    }

    /// At a tick: reports to the host what was counted since, if it is time for that.
    pub(super) fn tick(&mut self) {
        self.ticks = self.ticks.saturating_add(1);
        if self.counted.len() <= MOST_AT_EACH_TICK || self.ticks >= LONGEST_TICKS {
            self.flush();
        }
    }

    /// Reports to the host what was counted since.
    pub(super) fn flush(&mut self) {
        self.ticks = 0;
        for (server, group, at) in self.counted.drain(..) {
            let groups = self.servers.get_mut(server);
            let counters = groups.and_then(|groups| groups.get_mut(group));
            let Some(counter) = counters.and_then(|counters| counters.get_mut(at)) else {
                continue;
            };
            if counter.unreported > 0 {
                calls::increment(counter.id, counter.unreported);
            }
            (counter.reported, counter.unreported) = (false, 0);
        }
    }
}

/// The element at this place; the list grows as far as that.
fn grown<T: Default>(list: &mut Vec<T>, at: usize) -> Option<&mut T> {
    if list.len() <= at {
        list.resize_with(at.saturating_add(1), T::default);
    }
    list.get_mut(at)
}

fn define(counters: &mut Vec<Counter>, metric: &Metric<'_>) -> Option<usize> {
    let counter = Counter {
        event: metric.event,
        id: calls::define_counter(&metric.stat_name()).ok()?,
        reported: false,
        unreported: 0,
    };
    counters.push(counter);
    counters.len().checked_sub(1)
}
