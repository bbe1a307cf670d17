//! `memory`: many servers, a million sessions. Is Envoy's memory flat, and does a fresh request stay cheap?

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use serde::Serialize;
use serde_json::{Value, json};

use super::footprint::{Footprint, footprint};
use super::gateway::{Chain, Gateway, More, wasm_filter};
use super::load::{Load, Requests, Until};
use super::machine::{Machine, Pinning};
use super::made_up::Sessions;
use super::report::{Budget, Report, is_undisturbed};
use super::rounds::COUNTED_WITHIN;
use super::setting::upstream;
use super::statistics::{median, paired, rounded};
use super::tokens::{CLIENT, Tokens};
use super::wire::Responder;
use costs::{Costs, costs, rows};
use tokenward_harness::parts::tools;

mod costs;

const ISSUER: &str = "https://dex.example.com/dex";
/// The run's memory is looked at so many times.
const SAMPLES: u64 = 20;
/// Share of the sessions after which the filter's bounded memories are full: the last of them are the slots of failing pairs, which
/// have 49,152 places, and one session in ten fails.
const WARM_UP: f64 = 0.75;
/// One session in so many has ended: its token is expired and control refuses.
const ENDED_ONE_IN: u64 = 10;
/// Growth that counts as none: a stored session takes over a thousand bytes.
const FLAT_BYTES_PER_SESSION: f64 = 4.0;

/// Settings of the benchmark.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Servers in the filter's configuration.
    pub servers: u64,
    /// Distinct sessions.
    pub sessions: u64,
    /// Rounds of the cost measurement.
    pub rounds: usize,
    /// How long each configuration is measured in each round.
    pub round: Duration,
    /// Connections of the load generator.
    pub connections: usize,
}

/// Envoy's memory over the sessions.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Growth {
    servers: u64,
    sessions: u64,
    sessions_refused: u64,
    samples: Vec<Sample>,
    growth_kib_after_warm_up: i64,
    bytes_per_session_after_warm_up: f64,
    flat: bool,
    /// CPU of a session's first request, which decodes and hashes its token, and of a refused one, which calls control.
    first_fresh_cpu_us_median: f64,
    first_refused_cpu_us_median: f64,
    /// What each session, pair and stream takes.
    each: Footprint,
}

/// One look.
#[derive(Debug, Clone, Serialize)]
struct Sample {
    sessions: u64,
    resident_kib: u64,
}

/// Runs the benchmark; `log` gets a line about its progress now and then.
///
/// # Errors
/// When something is missing, or requests are not treated as they must be.
pub async fn memory(options: &Memory, log: &dyn Fn(&str)) -> anyhow::Result<Report> {
    ensure!(
        options.rounds > 0 && options.sessions >= SAMPLES * ENDED_ONE_IN && options.servers > 0,
        "at least one round, one server and {} sessions",
        SAMPLES * ENDED_ONE_IN
    );
    let pinning = Pinning::of_this_process();
    let machine = Machine::look(pinning)?;
    log(&machine.describe());
    let (upstream, control) = (upstream().await?, Tokens::make().await?.endpoint().await?);
    let clusters = [
        ("upstream", upstream.address()),
        ("events", upstream.address()),
        ("tokenward_control", control.address()),
    ];
    let tokenward = |vm_id: &str, servers: u64| -> anyhow::Result<Vec<Value>> {
        Ok(vec![wasm_filter(
            vm_id,
            &tools::filter_module()?,
            &configuration(servers),
        )])
    };
    let chains = [
        Chain::new("no_filter", Vec::new()),
        Chain::new("one", tokenward("one", 1)?),
        Chain::new("many", tokenward("many", options.servers)?),
    ];
    log("what each session, pair and stream takes");
    let floor = wasm_filter("floor", &tools::baseline_module()?, &json!({}));
    let two = wasm_filter("two", &tools::filter_module()?, &configuration(2));
    let of_two = [sessions(2, false)?, sessions(2, true)?];
    let each = footprint(pinning, options.connections, [floor, two], of_two).await?;
    let gateway = Gateway::start(&chains, &clusters, &More::default(), pinning).await?;
    let growth = grow(options, &gateway, &upstream, each, log).await?;
    let costs = costs(options, &gateway, log).await?;
    let (rows, budgets) = (rows(&costs), budgets(&growth, &costs));
    Ok(Report {
        benchmark: "memory",
        machine,
        rounds: options.rounds,
        seconds_per_round: options.round.as_secs_f64(),
        second_load: None,
        left_out: Vec::new(),
        latency: None,
        connections: options.connections,
        token_bytes: sessions(1, false)?.token(0).len(),
        idle_cpu_us_per_second: rounded(gateway.idle_us_per_second().await?),
        undisturbed: is_undisturbed(&rows),
        rows,
        memory: Some(growth),
        budgets,
    })
}

fn configuration(servers: u64) -> Value {
    let server = |number| {
        json!({
            "name": format!("server-{number:04}"), "path_prefix": format!("/server-{number:04}"),
            "auth": {"kind": "forward", "issuer": ISSUER, "required_audiences": [CLIENT]},
        })
    };
    json!({
        "control": {"cluster": "tokenward_control", "credential": {"value": "bench"}},
        "session_headers": ["x-tokenward-session"],
        "servers": (0..servers).map(server).collect::<Vec<_>>(),
    })
}

fn sessions(servers: u64, ended: bool) -> anyhow::Result<Sessions> {
    let now_seconds = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let exp_seconds = if ended {
        now_seconds - 3600
    } else {
        now_seconds + 24 * 3600
    };
    Ok(Sessions::new(ISSUER, CLIENT, exp_seconds, servers))
}

/// Shows Envoy every session once.
async fn grow(
    options: &Memory,
    gateway: &Gateway,
    upstream: &Responder,
    each: Footprint,
    log: &dyn Fn(&str),
) -> anyhow::Result<Growth> {
    let address = gateway.address("many")?;
    let (fresh, ended) = (
        sessions(options.servers, false)?,
        sessions(options.servers, true)?,
    );
    let fresh: Requests = Arc::new(move |number, buffer| fresh.write_request(number, buffer));
    // Numbers of their own: the same session is never both.
    let ended: Requests = Arc::new(move |number, buffer| ended.write_request(number | 1 << 40, buffer));
    let mut fresh = Load::open(address, options.connections, fresh, 200).await?;
    let mut ended = Load::open(address, options.connections, ended, 401).await?;
    let (mut samples, mut fresh_us, mut ended_us) = (Vec::new(), Vec::new(), Vec::new());
    let (mut forwarded, mut refused) = (0, 0);
    for sample in 1..=SAMPLES {
        let due = options.sessions * sample / SAMPLES;
        let (cpu_us, done) = gateway
            .cost_us(&mut fresh, Until::Sent(due - due / ENDED_ONE_IN))
            .await?;
        forwarded += done.requests;
        fresh_us.push(cpu_us);
        let (cpu_us, done) = gateway
            .cost_us(&mut ended, Until::Sent(due / ENDED_ONE_IN))
            .await?;
        refused += done.requests;
        ended_us.push(cpu_us);
        let resident_kib = gateway.resident_kib()?;
        log(&format!(
            "{} sessions, {refused} of them refused: VmRSS {resident_kib} KiB",
            forwarded + refused
        ));
        samples.push(Sample {
            sessions: forwarded + refused,
            resident_kib,
        });
    }
    let reached = upstream.answered();
    ensure!(
        reached == forwarded,
        "{reached} requests reached the upstream instead of {forwarded}"
    );
    counted(gateway, [("forwarded", forwarded), ("needs_login", refused)]).await?;
    let first_us = [&fresh_us, &ended_us].map(|us| rounded(median(us)));
    Ok(Growth::of(options.servers, refused, samples, first_us, each))
}

/// Waits until the filter has counted so many requests of each outcome: it reports the sums of many counters once a second.
async fn counted(gateway: &Gateway, outcomes: [(&str, u64); 2]) -> anyhow::Result<()> {
    let limit = Instant::now() + COUNTED_WITHIN;
    for (outcome, expected) in outcomes {
        loop {
            let labels = [("outcome", outcome)];
            let counted = gateway
                .metrics()
                .await?
                .count("tokenward_requests_total", &labels);
            if counted == expected {
                break;
            }
            ensure!(
                Instant::now() < limit,
                "{counted} requests were {outcome} instead of {expected}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

impl Growth {
    fn of(servers: u64, refused: u64, samples: Vec<Sample>, first_us: [f64; 2], each: Footprint) -> Self {
        let (warm_up, last) = ((samples.len() as f64 * WARM_UP) as usize, samples.len() - 1);
        let (warm, end) = (&samples[warm_up.min(last)], &samples[last]);
        let growth_kib = end.resident_kib as i64 - warm.resident_kib as i64;
        let sessions = end.sessions.saturating_sub(warm.sessions).max(1);
        let per_session = growth_kib as f64 * 1024.0 / sessions as f64;
        Self {
            servers,
            sessions: end.sessions,
            sessions_refused: refused,
            growth_kib_after_warm_up: growth_kib,
            bytes_per_session_after_warm_up: rounded(per_session),
            flat: per_session <= FLAT_BYTES_PER_SESSION,
            first_fresh_cpu_us_median: first_us[0],
            first_refused_cpu_us_median: first_us[1],
            samples,
            each,
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("\n{:<28}{:>10}\n", "sessions seen", "VmRSS KiB");
        for sample in &self.samples {
            text += &format!("{:<28}{:>10}\n", sample.sessions, sample.resident_kib);
        }
        let word = if self.flat { "flat" } else { "NOT FLAT" };
        text + &format!(
            "\n{word} after warm-up: {} KiB, {} bytes for each session\n\
             a session's first request costs {} µs, a refused one {} µs\n{}",
            self.growth_kib_after_warm_up,
            self.bytes_per_session_after_warm_up,
            self.first_fresh_cpu_us_median,
            self.first_refused_cpu_us_median,
            self.each.table()
        )
    }
}

fn budgets(growth: &Growth, costs: &[Costs]) -> Vec<Budget> {
    let one = &costs[2];
    let whole = |of_lane: &Costs| median(&paired(&of_lane.cpu_us, &one.cpu_us, |many, one| many / one));
    let added = |of_lane: &Costs| {
        let ratios = paired(&of_lane.added(costs), &one.added(costs), |many, one| many / one);
        median(&ratios)
    };
    vec![
        Budget::at_most(
            "bytes of Envoy's memory for each session after warm-up",
            FLAT_BYTES_PER_SESSION,
            growth.bytes_per_session_after_warm_up,
        ),
        Budget::at_most(
            "fresh request, many servers and sessions / one",
            1.1,
            whole(&costs[5]),
        ),
        Budget::at_most(
            "added by fresh, many servers and sessions / one",
            1.1,
            added(&costs[5]),
        ),
        Budget::at_most(
            "added by fresh, one server and many sessions / one",
            1.1,
            added(&costs[3]),
        ),
        Budget::at_most(
            "added by fresh, many servers and one session / one",
            1.1,
            added(&costs[4]),
        ),
    ]
}
