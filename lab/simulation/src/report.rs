//! What a run has shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::options::Options;

/// What happened in one minute.
#[derive(Debug, Clone, Serialize)]
pub struct Minute {
    /// Counted from 0.
    pub minute: u32,
    /// What was counted in it, by name, without what did not happen.
    pub counts: BTreeMap<String, u64>,
    /// At its end: logins that have not ended and whose token may not reach a server any more.
    pub stale_logins: u64,
    /// At its end: logins that have ended.
    pub ended_logins: u64,
    /// At its end: refreshes and exchanges under way.
    pub under_way: usize,
}

/// The most of something in one second.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Peaks {
    /// Requests at all gateways.
    pub requests: u64,
    /// Calls to control for a token.
    pub calls: u64,
    /// Polls of the filter's state.
    pub polls: u64,
    /// Refreshes at the home issuer.
    pub refreshes: u64,
    /// Exchanges at all remote issuers.
    pub exchanges: u64,
    /// Operations of the store.
    pub store_operations: u64,
    /// WARN lines of all filters.
    pub warn_filter: u64,
    /// WARN lines of all replicas of control.
    pub warn_control: u64,
}

/// Memory at the end of the run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// The worker that holds most tokens and replacements, by the filter's own estimates, in bytes. The tokens of the simulation
    /// are shorter than Dex's.
    pub most_of_a_worker: usize,
    /// The mean of all workers.
    pub mean_of_a_worker: usize,
    /// The most of all moments at which it was looked at, every ten minutes.
    pub most_at_any_time: usize,
    /// The Envoy with most bytes in shared data.
    pub most_shared_of_an_envoy: usize,
    /// The mean of all Envoys.
    pub mean_shared_of_an_envoy: usize,
    /// The process of the simulation: everything.
    pub process_mib: u64,
}

/// The store at the end of the run.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreSize {
    /// Grants.
    pub grants: u32,
    /// Bytes of a grant's record and its key if its tokens have Dex's length, without what the store itself adds.
    pub bytes_of_a_grant: usize,
    /// Exchanged tokens.
    pub exchanged_tokens: usize,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was simulated.
    pub options: Options,
    /// Digest of every event: the same options give the same one.
    pub digest: String,
    /// Promises that broke, with how often.
    pub broken: BTreeMap<String, u64>,
    /// All counts of the run.
    pub sum: BTreeMap<String, u64>,
    /// The most of a second.
    pub peaks: Peaks,
    /// Memory.
    pub memory: Memory,
    /// The store.
    pub store: StoreSize,
    /// Seconds from the beginning until not one login in a thousand was stale, for the first time after each incident that makes
    /// tokens stale; none if the run was too short.
    pub fresh_after_seconds: Option<u64>,
    /// How long the run took.
    pub wall_seconds: u64,
    /// Each minute.
    pub minutes: Vec<Minute>,
}

/// The columns of the table, by the names of counts.
const COLUMNS: [(&str, &str); 13] = [
    ("requests", "requests"),
    ("refused 401", "refused_401"),
    ("refused 503", "refused_503"),
    ("stale", "calls_stale"),
    ("ahead", "calls_near_expiry"),
    ("rejected", "calls_rejected"),
    ("no answer", "answered_not"),
    ("refreshes", "refreshes"),
    ("exchanges", "exchanges"),
    ("held back", "held_back_rate"),
    ("filter WARN", "warn_filter"),
    ("control WARN", "warn_control"),
    ("store", "store_reads"),
];

impl Report {
    /// Whether no promise broke.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// One count of the whole run; 0 for a name that there is not.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.sum.get(name).copied().unwrap_or(0)
    }

    /// A table of the minutes, with sums and peaks below it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::from("minute");
        for (head, _) in COLUMNS {
            let _ = write!(text, "   {head:>12}");
        }
        text.push_str("          stale\n");
        for minute in &self.minutes {
            let _ = write!(text, "{:>6}", minute.minute);
            for (_, name) in COLUMNS {
                let _ = write!(text, "   {:>12}", self.cell(&minute.counts, name));
            }
            let _ = writeln!(text, "   {:>12}", minute.stale_logins);
        }
        text.push_str("   sum");
        for (_, name) in COLUMNS {
            let _ = write!(text, "   {:>12}", self.cell(&self.sum, name));
        }
        let _ = write!(
            text,
            "\n\npeaks of a second   {:?}\nmemory   {:?}\nstore   {:?}\n",
            self.peaks, self.memory, self.store
        );
        let _ = writeln!(
            text,
            "all fresh after   {} s",
            self.fresh_after_seconds
                .map_or_else(|| "-".to_owned(), |seconds| seconds.to_string())
        );
        let _ = writeln!(text, "digest   {}", self.digest);
        text
    }

    fn cell(&self, counts: &BTreeMap<String, u64>, name: &str) -> u64 {
        let of = |name: &str| counts.get(name).copied().unwrap_or(0);
        match name {
            "store_reads" => of("store_reads") + of("store_writes") + of("store_leases"),
            name => of(name),
        }
    }
}
