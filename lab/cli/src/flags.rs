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
    /// CPU per request, latency and event streams: no filter, the floor, Tokenward's paths, jwt_authn, ext_authz
    DataPath(DataPathFlags),
    /// Envoy's memory over many sessions, and what a fresh request costs then
    Memory(MemoryFlags),
    /// The token endpoint against raw GETs on the same Valkey, a refresh storm, and the store at several sizes
    Control(ControlFlags),
}

/// Names for `bench data-path --only`: the lanes of that benchmark.
pub const DATA_PATH_LANES: [&str; 14] = [
    "no_filter",
    "direct_response",
    "floor",
    "fresh",
    "fresh_named",
    "fresh_unnamed",
    "fresh_annotated",
    "replaced",
    "exchange",
    "swapped",
    "gated",
    "jwt_authn_cached",
    "jwt_authn",
    "ext_authz",
];

/// Flags of `bench data-path`.
#[derive(Debug, Clone, Args)]
pub struct DataPathFlags {
    /// Only these (and no_filter and floor, which the others are compared with)
    #[arg(long, value_delimiter = ',', value_name = "NAME", value_parser = PossibleValuesParser::new(DATA_PATH_LANES))]
    pub only: Vec<String>,
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

/// How a benchmark measures, and where its result goes.
#[derive(Debug, Clone, Args)]
pub struct Measurement {
    /// Rounds; each measures every configuration [default: 100; control: 12]
    #[arg(long, value_name = "N")]
    pub rounds: Option<NonZeroUsize>,
    /// How long each configuration is measured at a time [default: 0.05; memory: 0.1; control: 2]
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
