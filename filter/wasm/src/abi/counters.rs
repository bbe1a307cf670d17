//! Counters: the first event of a kind between two ticks reaches the host at once, what follows is told in one sum at
//! the tick. Under load that saves a host call for each request; a quiet counter is never late.

use super::calls;
use tokenward_filter_core::metric::{Event, Metric};

/// The counters of one worker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By server (the first is none), each with the few events that it has seen.
    servers: Vec<Vec<Counter>>,
    /// Places in `servers` of those that were counted since the last tick.
    counted: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Counter {
    event: Event,
    /// The host's number for it: defining costs ten times what counting does.
    id: u32,
    /// Whether the host was told of one since the last tick.
    told: bool,
    untold: i64,
}

impl Counters {
    /// Counts one event.
    pub(super) fn count(&mut self, metric: &Metric<'_>) {
        let server = metric.server.number.map_or(0, |number| number.saturating_add(1));
        if self.servers.len() <= server {
            self.servers.resize_with(server.saturating_add(1), Vec::new);
        }
        let Some(counters) = self.servers.get_mut(server) else {
            return;
        };
        let known = counters.iter().position(|counter| counter.event == metric.event);
        let Some(at) = known.or_else(|| define(counters, metric)) else {
            return;
        };
        let Some(counter) = counters.get_mut(at) else {
            return;
        };
        if counter.told {
            counter.untold = counter.untold.saturating_add(1);
        } else {
            calls::increment(counter.id, 1);
            counter.told = true;
            self.counted.push((server, at));
        }
    }

    /// Tells the host what it has not been told of yet.
    pub(super) fn tell(&mut self) {
        for (server, at) in self.counted.drain(..) {
            let Some(counter) = self
                .servers
                .get_mut(server)
                .and_then(|counters| counters.get_mut(at))
            else {
                continue;
            };
            if counter.untold > 0 {
                calls::increment(counter.id, counter.untold);
            }
            (counter.told, counter.untold) = (false, 0);
        }
    }
}

fn define(counters: &mut Vec<Counter>, metric: &Metric<'_>) -> Option<usize> {
    let counter = Counter {
        event: metric.event,
        id: calls::define_counter(&metric.stat_name()).ok()?,
        told: false,
        untold: 0,
    };
    counters.push(counter);
    counters.len().checked_sub(1)
}
