//! Counters: the first event of a kind between two ticks is reported to the host at once, the following ones in one sum at the
//! tick. Under load that saves a host call for each request; a quiet counter is never late.

use super::calls;
use tokenward_filter_core::metric::{Event, Metric};

/// The counters of one worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By server (the first for requests without one) and [`Event::group`], each with the few events that it has seen:
    /// clients choose the group, and none of them may make the look-ups of others longer.
    servers: Vec<Vec<Vec<Counter>>>,
    /// Places in `servers` of those that were counted since the last tick.
    counted: Vec<(usize, usize, usize)>,
}

#[derive(Debug)]
struct Counter {
    event: Event,
    /// The host's number for it: defining a counter costs ten times as much as counting.
    id: u32,
    /// Whether one was reported to the host since the last tick.
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

    /// Reports to the host what was counted since.
    pub(super) fn flush(&mut self) {
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
