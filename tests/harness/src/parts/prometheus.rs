//! Metrics in the Prometheus text format, as Envoy and the control service expose them.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::process::LOOK_AGAIN;

/// One exposition.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Label names and values in the order of the line.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(label, _)| label == name)
            .map(|(_, value)| value.as_str())
    }
}

impl Metrics {
    /// Reads an exposition; lines that are no samples are left out.
    pub fn read(text: &str) -> Self {
        Self {
            samples: text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(read_sample)
                .collect(),
        }
    }

    /// All samples.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Sum of the samples of `name` that have all these labels; 0 when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let chosen = self.samples.iter().filter(|sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.label(label) == Some(value))
        });
        // The empty sum of floats is -0.
        chosen.map(|sample| sample.value).sum::<f64>() + 0.0
    }

    /// [`Metrics::sum`] of a counter, as a whole number.
    ///
    /// # Panics
    /// When the sum is negative or not whole.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        let text = sum.to_string();
        text.parse()
            .unwrap_or_else(|_| panic!("{name} {labels:?} is {sum}, not a count"))
    }
}

fn read_sample(line: &str) -> Option<Sample> {
    let (series, rest) = match line.find('{') {
        Some(open) => {
            let (labels, rest) = read_labels(&line[open + 1..])?;
            ((line[..open].to_owned(), labels), rest)
        }
        None => {
            let (name, rest) = line.split_once(' ')?;
            ((name.to_owned(), Vec::new()), rest)
        }
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample {
        name: series.0,
        labels: series.1,
        value,
    })
}

/// Labels up to the closing brace, and what follows it. Values may hold escaped quotes, backslashes and newlines.
fn read_labels(mut text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        text = loop {
            match characters.next()? {
                (at, '"') => break &rest[at + 1..],
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
    }
}

/// The interval at which the filter publishes its counts, and a little.
const TOLD_EVERY: Duration = Duration::from_millis(130);
/// Envoy merges its histograms when its metrics are read, or else every five seconds.
const MERGED_WITHIN: Duration = Duration::from_secs(60);
/// The requests to Envoy's own interface: how many there were, and how many the merged histogram of their times has.
const ASKED: &str = "envoy_http_downstream_rq_total";
const MERGED: &str = "envoy_http_downstream_rq_time_count";
const BY_ADMIN: [(&str, &str); 1] = [("envoy_http_conn_manager_prefix", "admin")];

/// Reads an Envoy's metrics with all that the filter has counted until now on every worker.
///
/// The filter publishes sums at its tick, and a tick may be late: so a worker must have been through its event loop after
/// the tick was due. Merging a histogram takes each worker's part in its loop, so a merge that is over is the proof.
///
/// # Errors
/// As `read`, and when a worker does not come round.
pub(super) async fn settled<F>(read: impl Fn() -> F) -> anyhow::Result<Metrics>
where
    F: Future<Output = anyhow::Result<Metrics>>,
{
    tokio::time::sleep(TOLD_EVERY).await;
    let due = read().await?;
    // In its first round a worker may do the merge before the tick.
    let once = after_a_round(&read, &due).await?;
    after_a_round(&read, &once).await
}

/// Reads until a merge is over that was begun after `before` was read.
async fn after_a_round<F>(read: &impl Fn() -> F, before: &Metrics) -> anyhow::Result<Metrics>
where
    F: Future<Output = anyhow::Result<Metrics>>,
{
    let (asked, limit) = (before.count(ASKED, &BY_ADMIN), Instant::now() + MERGED_WITHIN);
    loop {
        let metrics = read().await?;
        let merged = metrics.count(MERGED, &BY_ADMIN);
        if merged >= asked {
            return Ok(metrics);
        }
        ensure!(
            Instant::now() < limit,
            "a worker of Envoy does not come round: {merged} of {asked} readings are merged"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
