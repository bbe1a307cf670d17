//! The flags of the programs.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

/// Flags of the demo.
#[derive(Debug, Clone, Default, Args)]
pub struct DemoFlags {
    /// Run the story without waiting for Ctrl-C, within 60 s, and exit with 1 if a promise broke
    #[arg(long)]
    pub check: bool,
    /// Use two real Dex as issuers, which are built where Go is installed; without it, two in-process doubles
    #[arg(long)]
    pub dex: bool,
    /// Write the counts and promises to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Flags of the replay.
#[derive(Debug, Clone, Default, Args)]
pub struct ReplayFlags {
    /// Exit with 1 if a promise broke
    #[arg(long)]
    pub check: bool,
    /// Use two real Dex as issuers, which are built where Go is installed; without it, two in-process doubles
    #[arg(long)]
    pub dex: bool,
    /// Write the counts to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the table of all columns to this file, as Markdown
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Write the plot of errors per minute to this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Flags of the simulation.
#[derive(Debug, Clone, Args)]
pub struct SimulateFlags {
    /// Seed of all chance: the same flags give the same run
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Envoy workers; four of them are one Envoy
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=400_000))]
    pub workers: u32,
    /// Sessions, each of another user
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_000_000))]
    pub sessions: u32,
    /// MCP servers
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub servers: u16,
    /// Length of the run
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub minutes: u32,
    /// Replicas of control
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub replicas: u32,
    /// Calls per second that a replica makes to one issuer
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub issuer_rate: u32,
    /// Such calls that can start at once after a pause
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub issuer_burst: u32,
    /// Concurrent calls of a replica to one issuer
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub issuer_concurrent: u32,
    /// Calls per second that an issuer carries out
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub issuer_capacity: u32,
    /// Life of issuers' tokens, seconds
    #[arg(long, default_value_t = 1_800, value_name = "N", value_parser = clap::value_parser!(u32).range(180..))]
    pub token_life: u32,
    /// Envoys over which the requests of one session are spread
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub envoys_per_session: u32,
    /// Connections of one session to each of these, each to some worker
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub connections_per_session: u32,
    /// Threads that simulate gateways; the result does not depend on them
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    pub threads: u16,
    /// Only these incidents
    #[arg(long, value_delimiter = ',', value_name = "NAME", default_value = "idle-night,restart,rotation,outage",
          value_parser = PossibleValuesParser::new(INCIDENTS))]
    pub incidents: Vec<String>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Names for `simulate --incidents`; `none` is a run without any.
pub const INCIDENTS: [&str; 5] = ["none", "idle-night", "restart", "rotation", "outage"];

/// Flags of the benchmarks.
#[derive(Debug, Clone, Args)]
pub struct BenchFlags {
    /// Which benchmark runs.
    #[command(subcommand)]
    pub benchmark: Benchmark,
}

/// A benchmark and its flags.
#[derive(Debug, Clone, Subcommand)]
pub enum Benchmark {
    /// CPU per request, latency and event streams: no filter, two floors, Tokenward's paths, Envoy's own filters
    DataPath(DataPathFlags),
    /// Envoy's memory over many sessions, and what a fresh request costs then
    Memory(MemoryFlags),
    /// The token endpoint against raw GETs on the same Valkey, a refresh storm, and the store at several sizes
    Control(ControlFlags),
    /// Ten thousand stale sessions after a restart of control, on a real Dex: seconds until all are fresh, one refresh each
    Storm(StormFlags),
}

/// Names for `bench data-path --only`: the lanes of that benchmark.
pub const DATA_PATH_LANES: [&str; 18] = [
    "no_filter",
    "direct_response",
    "floor",
    "bare",
    "installed_base",
    "installed_floor",
    "installed",
    "fresh",
    "fresh_annotated",
    "replaced",
    "exchange",
    "swapped",
    "gated",
    "lua",
    "jwt_authn_cached",
    "jwt_authn",
    "ext_authz",
    "oauth2",
];

/// Flags of `bench data-path`.
#[derive(Debug, Clone, Args)]
pub struct DataPathFlags {
    /// Only these (and what they are compared with)
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = PossibleValuesParser::new(DATA_PATH_LANES))]
    pub only: Vec<String>,
    /// Rounds with the load of h2load, after those of cost; 0: none
    #[arg(long, default_value_t = 12, value_name = "N")]
    pub h2load_rounds: usize,
    /// How long each configuration is measured in each of these, about
    #[arg(long, default_value = "0.25", value_name = "S", value_parser = seconds)]
    pub seconds_per_h2load_round: Duration,
    /// Rounds of latency and event streams, after those of cost
    #[arg(long, default_value = "12", value_name = "N")]
    pub latency_rounds: NonZeroUsize,
    /// How long each configuration is measured in each of these
    #[arg(long, default_value = "0.5", value_name = "S", value_parser = seconds)]
    pub seconds_per_latency_round: Duration,
    /// What every benchmark has.
    #[command(flatten)]
    pub measurement: Measurement,
}

/// Flags of `bench memory`.
#[derive(Debug, Clone, Args)]
pub struct MemoryFlags {
    /// Servers in the filter's configuration
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub servers: u64,
    /// Distinct sessions, one in ten of them refused
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(200..))]
    pub sessions: u64,
    /// What every benchmark has.
    #[command(flatten)]
    pub measurement: Measurement,
}

/// Names for `bench control --only`: the lanes of that benchmark and its other parts.
pub const CONTROL_PARTS: [&str; 15] = [
    "raw_get_one",
    "raw_get",
    "valkey_one",
    "valkey_session_one",
    "valkey",
    "valkey_session",
    "valkey_uncached_one",
    "valkey_uncached",
    "embedded",
    "embedded_session",
    "replicas",
    "valkey_first",
    "login",
    "refresh_storm",
    "sizes",
];

/// Flags of `bench control`.
#[derive(Debug, Clone, Args)]
pub struct ControlFlags {
    /// Only these (and raw_get, raw_get_one)
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = PossibleValuesParser::new(CONTROL_PARTS))]
    pub only: Vec<String>,
    /// Sessions in the largest store
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    pub sessions: u64,
    /// What every benchmark has.
    #[command(flatten)]
    pub measurement: Measurement,
}

/// Flags of `bench storm`.
#[derive(Debug, Clone, Args)]
pub struct StormFlags {
    /// Sessions, each of another user
    #[arg(long, default_value = "10000", value_name = "N")]
    pub sessions: NonZeroUsize,
    /// Limits of each replica's calls to Dex: `default`, or calls per second, burst and concurrent calls as in `100/200/32`
    #[arg(long, value_delimiter = ',', default_value = "default", value_name = "LIMITS", value_parser = storm_limits)]
    pub limits: Vec<LimitsFlag>,
    /// Replicas of control; a storm for each number, with each of the limits
    #[arg(long, value_delimiter = ',', default_value = "1,3", value_name = "N")]
    pub replicas: Vec<NonZeroUsize>,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit with 1 if a budget is missed, or if the machine was too busy to decide
    #[arg(long)]
    pub enforce: bool,
}

/// Calls per second, burst and concurrent calls; `None`: the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsFlag(pub Option<[u32; 3]>);

/// One value of `--limits`.
fn storm_limits(text: &str) -> Result<LimitsFlag, String> {
    if text == "default" {
        return Ok(LimitsFlag(None));
    }
    let numbers: Vec<u32> = text.split('/').map_while(|number| number.parse().ok()).collect();
    match <[u32; 3]>::try_from(numbers) {
        Ok(numbers) if text.split('/').count() == 3 => Ok(LimitsFlag(Some(numbers))),
        _ => Err("neither `default` nor three numbers as in 100/200/32".to_owned()),
    }
}

/// How a benchmark measures, and where its result goes.
#[derive(Debug, Clone, Args)]
pub struct Measurement {
    /// Rounds; each measures every configuration [default: 40; memory: 80; control: 12]
    #[arg(long, value_name = "N")]
    pub rounds: Option<NonZeroUsize>,
    /// How long each configuration is measured at a time [default: 0.2; control: 2]
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds_per_round: Option<Duration>,
    /// Connections of the load generator
    #[arg(long, default_value = "8", value_name = "N")]
    pub connections: NonZeroUsize,
    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Exit with 1 if a budget is missed, or if the machine was too busy to decide
    #[arg(long)]
    pub enforce: bool,
}

/// A positive number of seconds, with fractions.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0 seconds".to_owned()),
    }
}
