//! Metrics in the Prometheus text format, as Envoy and the control service expose them.

use std::time::Duration;

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
    fn of_the_filter(&self) -> Vec<&Sample> {
        let samples = self.samples.iter();
        samples
            .filter(|sample| sample.name.starts_with("tokenward_"))
            .collect()
    }

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

/// How often the filter tells sums of what it counted, and a little.
const TOLD_EVERY: Duration = Duration::from_millis(130);
/// Readings at the most; with requests under way no two may ever agree.
const READINGS: usize = 20;

/// Reads metrics until two readings, a tick of the filter apart, agree about what the filter has counted.
///
/// # Errors
/// As `read`.
pub(super) async fn settled<F>(read: impl Fn() -> F) -> anyhow::Result<Metrics>
where
    F: Future<Output = anyhow::Result<Metrics>>,
{
    let mut before = read().await?;
    for _ in 1..READINGS {
        tokio::time::sleep(TOLD_EVERY).await;
        let now = read().await?;
        if now.of_the_filter() == before.of_the_filter() {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}
