//! A run: steps of gateways and control by turns.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::clients::STEP_MS;
use crate::control::{Control, LOST_ZONE, stored_bytes_of_login};
use crate::count::{Count, Counts};
use crate::message::Answer;
use crate::options::{Options, START_MS};
use crate::report::{Memory, Minute, Peaks, Report, StoreSize};
use crate::shard::{Shard, ShardMemory, StepInput, StepOutput, digest_of};

/// Steps of a second and of a minute.
const STEPS_OF_SECOND: u64 = 1_000 / STEP_MS;
const STEPS_OF_MINUTE: u64 = 60_000 / STEP_MS;
/// Minutes between two looks at the memories.
const MEASURE_MINUTES: u64 = 10;
/// Lengths of Dex's tokens in docs/benchmarks: an ID token and a refresh token.
const DEX_TOKEN_BYTES: (usize, usize) = (1_098, 70);

/// The inputs of a thread's shards for the step that begins at this moment.
type Inputs = (u64, BTreeMap<usize, StepInput>);
type Outputs = BTreeMap<usize, StepOutput>;

/// The threads that simulate gateways.
struct Gateways {
    threads: Vec<(Sender<Inputs>, Receiver<Outputs>)>,
}

impl Gateways {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, options: &'scope Options) -> Self {
        let count = options.threads.clamp(1, options.shards() as usize);
        let thread = |number: usize| {
            let (to, inputs) = channel::<Inputs>();
            let (outputs, from) = channel();
            scope.spawn(move || {
                // Shards share memory within themselves, so they are made where they live.
                let its = (0..options.shards()).filter(|shard| *shard as usize % count == number);
                let mut shards: BTreeMap<usize, Shard> = its
                    .map(|shard| (shard as usize, Shard::new(options, shard)))
                    .collect();
                for (now_ms, inputs) in inputs {
                    let step = |(number, shard): (&usize, &mut Shard)| {
                        let input = inputs.get(number);
                        input.map(|input| (*number, shard.step(now_ms, input)))
                    };
                    let stepped: Outputs = shards.iter_mut().filter_map(step).collect();
                    if outputs.send(stepped).is_err() {
                        return;
                    }
                }
            });
            (to, from)
        };
        Self {
            threads: (0..count).map(thread).collect(),
        }
    }

    fn step(&self, now_ms: u64, mut inputs: BTreeMap<usize, StepInput>) -> Result<Outputs> {
        let count = self.threads.len();
        for (number, (to, _)) in self.threads.iter().enumerate() {
            let its = inputs.keys().filter(|shard| **shard % count == number);
            let its: Vec<usize> = its.copied().collect();
            let part = its.into_iter().filter_map(|shard| inputs.remove_entry(&shard));
            to.send((now_ms, part.collect()))
                .context("a thread of gateways has ended")?;
        }
        let mut all = Outputs::new();
        for (_, from) in &self.threads {
            all.append(&mut from.recv().context("a thread of gateways has ended")?);
        }
        Ok(all)
    }
}

/// What a run has shown so far.
#[derive(Default)]
struct Progress {
    gateways: Counts,
    all: Counts,
    at_second: Counts,
    at_minute: Counts,
    peaks: Peaks,
    minutes: Vec<Minute>,
    digests: BTreeMap<usize, [u8; 32]>,
    memory: Memory,
    fresh_after_seconds: Option<u64>,
}

impl Progress {
    fn note(&mut self, outputs: &Outputs, control: &Control, options: &Options) {
        self.gateways = Counts::default();
        for (shard, output) in outputs {
            self.gateways.add(&output.counts);
            self.digests.insert(*shard, output.digest);
        }
        self.all = self.gateways.clone();
        self.all.add(&control.tally().counts());
        let memories: Vec<ShardMemory> = outputs.values().filter_map(|output| output.memory).collect();
        if !memories.is_empty() {
            self.note_memory(&memories, options);
        }
    }

    fn note_memory(&mut self, memories: &[ShardMemory], options: &Options) {
        let sum = |of: fn(&ShardMemory) -> usize| memories.iter().map(of).sum::<usize>();
        let most = |of: fn(&ShardMemory) -> usize| memories.iter().map(of).max().unwrap_or(0);
        let envoys = options.envoys as usize;
        let most_of_a_worker = most(|memory| memory.most_of_a_worker);
        self.memory = Memory {
            most_of_a_worker,
            mean_of_a_worker: sum(|memory| memory.of_all_workers)
                / (envoys * options.workers_per_envoy as usize),
            most_at_any_time: self.memory.most_at_any_time.max(most_of_a_worker),
            most_shared_of_an_envoy: most(|memory| memory.most_shared),
            mean_shared_of_an_envoy: sum(|memory| memory.all_shared) / envoys,
            process_mib: process_mib(),
        };
    }

    fn end_second(&mut self, second: u64, control: &Control, now_ms: u64, options: &Options) {
        let since = self.all.since(&self.at_second);
        let sum = |counts: &[Count]| counts.iter().map(|count| since.of(*count)).sum::<u64>();
        let calls = [Count::CallsStale, Count::CallsNearExpiry, Count::CallsRejected];
        let operations = [Count::StoreReads, Count::StoreWrites, Count::StoreLeases];
        let now = [
            (&mut self.peaks.requests, sum(&[Count::Requests])),
            (&mut self.peaks.calls, sum(&calls)),
            (&mut self.peaks.polls, sum(&[Count::Polls])),
            (&mut self.peaks.refreshes, sum(&[Count::Refreshes])),
            (&mut self.peaks.exchanges, sum(&[Count::Exchanges])),
            (&mut self.peaks.store_operations, sum(&operations)),
            (&mut self.peaks.warn_filter, sum(&[Count::WarnFilter])),
            (&mut self.peaks.warn_control, sum(&[Count::WarnControl])),
        ];
        for (peak, of_second) in now {
            *peak = (*peak).max(of_second);
        }
        self.at_second = self.all.clone();
        if self.fresh_after_seconds.is_none() {
            let (stale, _) = control.logins(now_ms);
            let is_fresh = stale * 1_000 <= u64::from(options.sessions);
            self.fresh_after_seconds = is_fresh.then_some(second);
        }
    }

    fn end_minute(&mut self, control: &Control, now_ms: u64) {
        let since = self.all.since(&self.at_minute);
        let (stale_logins, ended_logins) = control.logins(now_ms);
        self.minutes.push(Minute {
            minute: u32::try_from(self.minutes.len()).unwrap_or(u32::MAX),
            counts: since.that_happened(),
            stale_logins,
            ended_logins,
            under_way: control.under_way(),
        });
        self.at_minute = self.all.clone();
    }
}

/// Runs the simulation. `log` gets a line for each minute.
///
/// # Errors
/// A thread that has ended.
pub fn simulate(options: &Options, log: &dyn Fn(&str)) -> Result<Report> {
    let started = Instant::now();
    let (progress, control) = std::thread::scope(|scope| -> Result<_> {
        let gateways = Gateways::start(scope, options);
        let mut control = Control::new(options);
        let mut progress = Progress::default();
        let mut answers: BTreeMap<u64, Vec<Answer>> = BTreeMap::new();
        let steps = (options.end_ms() - START_MS) / STEP_MS;
        for step in 0..steps {
            let now_ms = START_MS + step * STEP_MS;
            let inputs = inputs(options, step, answers.remove(&step).unwrap_or_default());
            let mut outputs = gateways.step(now_ms, inputs)?;
            let calls = outputs
                .values_mut()
                .flat_map(|output| std::mem::take(&mut output.calls));
            let said = control.step(calls.collect(), now_ms, now_ms + STEP_MS);
            for answer in said {
                let at = (answer.at_ms - START_MS) / STEP_MS;
                answers.entry(at.max(step + 1)).or_default().push(answer);
            }
            progress.note(&outputs, &control, options);
            let end_ms = now_ms + STEP_MS;
            if (step + 1).is_multiple_of(STEPS_OF_SECOND) {
                progress.end_second((step + 1) / STEPS_OF_SECOND, &control, end_ms, options);
            }
            if (step + 1).is_multiple_of(STEPS_OF_MINUTE) {
                progress.end_minute(&control, end_ms);
                log(&line_of(&progress, started));
            }
        }
        Ok((progress, control))
    })?;
    let (_, exchanged_tokens) = control.store_size();
    Ok(Report {
        digest: hex(&digest_of(&progress.digests, &progress.all)),
        broken: progress.all.broken(),
        sum: progress.all.by_name(),
        peaks: progress.peaks,
        memory: progress.memory,
        store: StoreSize {
            grants: options.sessions,
            bytes_of_a_grant: stored_bytes_of_login(DEX_TOKEN_BYTES.0, DEX_TOKEN_BYTES.1),
            exchanged_tokens,
        },
        fresh_after_seconds: progress.fresh_after_seconds,
        wall_seconds: started.elapsed().as_secs(),
        minutes: progress.minutes,
        options: options.clone(),
    })
}

/// What each shard gets for a step: its answers, and what happens.
fn inputs(options: &Options, step: u64, answers: Vec<Answer>) -> BTreeMap<usize, StepInput> {
    let now_ms = START_MS + step * STEP_MS;
    let (stops_ms, starts_ms) = options.outage_ms().unzip();
    let is_last_of_span = (step + 1).is_multiple_of(STEPS_OF_MINUTE * MEASURE_MINUTES);
    let is_last = now_ms + STEP_MS >= options.end_ms();
    let input = |shard: u32| {
        let input = StepInput {
            answers: Vec::new(),
            zone_stops: (stops_ms == Some(now_ms)).then_some(LOST_ZONE),
            zone_starts: (starts_ms == Some(now_ms)).then_some(LOST_ZONE),
            streams_end: options.restart_ms() == Some(now_ms),
            measures: is_last_of_span || is_last,
        };
        (shard as usize, input)
    };
    let mut inputs: BTreeMap<usize, StepInput> = (0..options.shards()).map(input).collect();
    let mut answers = answers;
    answers.sort_by_key(|answer| (answer.at_ms, answer.to));
    for answer in answers {
        if let Some(input) = inputs.get_mut(&answer.to.shard()) {
            input.answers.push(answer);
        }
    }
    inputs
}

fn line_of(progress: &Progress, started: Instant) -> String {
    let Some(minute) = progress.minutes.last() else {
        return String::new();
    };
    let of = |name: &str| minute.counts.get(name).copied().unwrap_or(0);
    format!(
        "minute {} after {} s: {} requests, {} refused, {} calls, {} refreshes, {} stale logins, {} MiB",
        minute.minute,
        started.elapsed().as_secs(),
        of("requests"),
        of("refused_401") + of("refused_503"),
        of("calls_stale") + of("calls_near_expiry") + of("calls_rejected"),
        of("refreshes"),
        minute.stale_logins,
        process_mib(),
    )
}

/// Memory of this process, MiB; 0 where the system does not say.
fn process_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
