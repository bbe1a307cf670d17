//! The cost of a fresh request with one or many servers, and with one or many sessions by turns.

use std::sync::Arc;

use super::{Memory, sessions};
use crate::gateway::Gateway;
use crate::load::{Load, Requests, Until};
use crate::report::Row;
use crate::statistics::{median, minimum, paired, quartiles, rounded};

/// Rounds between two lines about the progress.
const SAY_EVERY: usize = 10;
/// Sessions in use at once.
const ACTIVE: u64 = 1000;

/// Cost and requests of one configuration, one value for each round.
pub(super) struct Costs {
    name: &'static str,
    /// Which one its cost is added to.
    base: usize,
    requests: u64,
    pub(super) cpu_us: Vec<f64>,
    per_second: Vec<f64>,
}

/// Measures each configuration in rounds.
///
/// # Errors
/// When a request is not treated as it must be.
pub(super) async fn costs(
    options: &Memory,
    gateway: &Gateway,
    log: &dyn Fn(&str),
) -> anyhow::Result<Vec<Costs>> {
    let many = options.servers;
    let lanes = [
        ("no_filter", 0, "no_filter", 1, 1),
        // Requests that differ cost Envoy itself more than the same one again.
        ("no_filter_many_sessions", 1, "no_filter", many, ACTIVE),
        ("one_server_one_session", 0, "one", 1, 1),
        ("one_server_many_sessions", 1, "one", 1, ACTIVE),
        ("many_servers_one_session", 0, "many", 1, 1),
        ("many_servers_many_sessions", 1, "many", many, ACTIVE),
    ];
    let mut all = Vec::new();
    for (name, base, chain, servers, active) in lanes {
        let sessions = sessions(servers, false)?;
        // Made beforehand: a generator that is slower for some lanes would change how Envoy batches its work.
        let made: Vec<Vec<u8>> = (0..active)
            .map(|number| {
                let mut buffer = Vec::new();
                sessions.write_request(number, &mut buffer);
                buffer
            })
            .collect();
        let requests: Requests = Arc::new(move |number, buffer| {
            buffer.extend_from_slice(&made[usize::try_from(number % active).unwrap_or_default()]);
        });
        let mut load = Load::open(gateway.address(chain)?, options.connections, requests, 200).await?;
        load.closed_loop(Until::Elapsed(options.round)).await?;
        let costs = Costs {
            name,
            base,
            requests: 0,
            cpu_us: Vec::new(),
            per_second: Vec::new(),
        };
        all.push((load, costs));
    }
    for round in 0..options.rounds {
        if round % SAY_EVERY == 0 {
            log(&format!("cost: round {} of {}", round + 1, options.rounds));
        }
        let (first, count) = (round % all.len(), all.len());
        for turn in 0..count {
            let (load, costs) = &mut all[(first + turn) % count];
            let (cpu_us, done) = gateway.cost_us(load, Until::Elapsed(options.round)).await?;
            costs.requests += done.requests;
            costs.cpu_us.push(cpu_us);
            costs.per_second.push(done.requests as f64 / done.seconds);
        }
    }
    Ok(all.into_iter().map(|(_, costs)| costs).collect())
}

impl Costs {
    /// What each round's cost is above its base's, µs.
    pub(super) fn added(&self, all: &[Self]) -> Vec<f64> {
        paired(&self.cpu_us, &all[self.base].cpu_us, |with, without| {
            with - without
        })
    }
}

/// The report's rows.
pub(super) fn rows(costs: &[Costs]) -> Vec<Row> {
    let rows = costs.iter().map(|of_lane| {
        let base = &costs[of_lane.base];
        let compared = of_lane.name != base.name;
        let added_us_min = minimum(&of_lane.cpu_us) - minimum(&base.cpu_us);
        let busy = paired(&of_lane.cpu_us, &of_lane.per_second, |cpu_us, rate| {
            cpu_us * rate / 1e6
        });
        Row {
            name: of_lane.name,
            base: base.name,
            requests: of_lane.requests,
            cpu_us_min: rounded(minimum(&of_lane.cpu_us)),
            cpu_us_median: rounded(median(&of_lane.cpu_us)),
            cpu_us_quartiles: quartiles(&of_lane.cpu_us).map(rounded),
            cpu_us_rounds: of_lane.cpu_us.iter().copied().map(rounded).collect(),
            added_us_min: compared.then(|| rounded(added_us_min)),
            added_us_median: compared.then(|| rounded(median(&of_lane.added(costs)))),
            floor: None,
            added_ratio_to_floor: None,
            added_ratio_interval: None,
            added_ratio_quartiles: None,
            added_min_ratio_to_floor: None,
            added_ratio_to_bare: None,
            added_ratio_to_bare_interval: None,
            by_h2load: None,
            requests_per_second: median(&of_lane.per_second).round(),
            busy: rounded(median(&busy)),
            latency: None,
            event_stream_chunk: None,
        }
    });
    rows.collect()
}
