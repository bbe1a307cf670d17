//! What libFuzzer prints about a run.

use std::fmt;

#[cfg(test)]
mod tests;

/// One run of one program.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    executions: Option<u64>,
    executions_per_second: Option<u64>,
    /// Edges that were reached.
    coverage: Option<u64>,
    /// Edges with their counts, and the like: what makes libFuzzer retain an input.
    features: Option<u64>,
    corpus_inputs: Option<u64>,
    /// The file of the input that broke a promise.
    pub(super) artifact: Option<String>,
    /// The panic's message, if one ended the run.
    pub(super) panic: Option<String>,
}

impl Run {
    /// Reads the program's standard error.
    pub(super) fn read(printed: &str) -> Self {
        let mut run = Self::default();
        let mut lines = printed.lines();
        while let Some(line) = lines.next() {
            if let Some(statistic) = line.strip_prefix("stat::") {
                run.take_statistic(statistic);
            } else if let Some((_, path)) = line.split_once("Test unit written to ") {
                run.artifact = Some(path.trim().to_owned());
            } else if line.starts_with("thread '") && line.contains(" panicked at ") {
                let place = line.split_once(" panicked at ").map_or("", |(_, place)| place);
                run.panic = Some(format!("{place} {}", lines.next().unwrap_or_default()));
            } else if line.starts_with('#') && line.contains(" cov: ") {
                run.take_progress(line);
            }
        }
        run
    }

    fn take_statistic(&mut self, statistic: &str) {
        let Some((name, value)) = statistic.split_once(':') else {
            return;
        };
        let value = value.trim().parse().ok();
        match name {
            "number_of_executed_units" => self.executions = value,
            "average_exec_per_sec" => self.executions_per_second = value,
            _ => {}
        }
    }

    /// `#64750 DONE   cov: 587 ft: 3115 corp: 377/139Kb lim: 904 …`
    fn take_progress(&mut self, line: &str) {
        let after = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        self.coverage = after(" cov:");
        self.features = after(" ft:");
        self.corpus_inputs = after(" corp:").or(self.corpus_inputs);
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), grouped);
        write!(
            formatter,
            "{} executions, {}/s, cov {}, ft {}, corpus {}",
            shown(self.executions),
            shown(self.executions_per_second),
            shown(self.coverage),
            shown(self.features),
            shown(self.corpus_inputs)
        )
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
