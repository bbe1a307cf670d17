//! The table of counts, and the file with all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokenward_tests::relay::Outcome;

/// The file that `cargo xtask relay --json` names.
const JSON_FILE: &str = "TOKENWARD_RELAY_JSON";

/// What some stories came to.
pub(crate) struct Report<'a> {
    title: &'static str,
    outcomes: &'a [Outcome],
}

impl<'a> Report<'a> {
    pub(crate) fn new(title: &'static str, outcomes: &'a [Outcome]) -> Self {
        Self { title, outcomes }
    }

    /// Prints the table, and adds the counts to the file.
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        println!("\n{}", self.table());
        let Some(file) = std::env::var_os(JSON_FILE).map(PathBuf::from) else {
            return Ok(());
        };
        let mut all: BTreeMap<String, serde_json::Value> = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(_) => BTreeMap::new(),
        };
        all.insert(self.title.to_owned(), serde_json::to_value(self.outcomes)?);
        Ok(std::fs::write(file, serde_json::to_string_pretty(&all)?)?)
    }

    fn table(&self) -> String {
        let head = [
            "program",
            "issuer",
            "part",
            "calls",
            "failed",
            "presented",
            "refreshed",
        ]
        .map(str::to_owned);
        let rows = self.outcomes.iter().flat_map(|outcome| {
            let act = outcome.acts.iter().map(|act| {
                let numbers =
                    [act.calls, act.failed, act.presented, act.refreshed].map(|number| number.to_string());
                let [calls, failed, presented, refreshed] = numbers;
                [
                    outcome.program.to_owned(),
                    outcome.issuer.clone(),
                    act.name.to_owned(),
                    calls,
                    failed,
                    presented,
                    refreshed,
                ]
            });
            let sum = format!(
                "logins lost {}, expired tokens at servers {}, own tokens {}, WARN per pair and minute {}, of control {}",
                outcome.logins_lost,
                outcome.expired_at_servers,
                outcome.own_tokens_at_servers,
                outcome.warn_per_pair_minute_max,
                outcome.control_warnings
            );
            let end = [outcome.program.to_owned(), outcome.issuer.clone(), sum];
            let [program, issuer, sum] = end;
            let blank = String::new;
            act.chain([[program, issuer, sum, blank(), blank(), blank(), blank()]])
        });
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            let numbers = rows.iter().filter(|row| !row[3].is_empty());
            numbers.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..7).map(width).collect();
        let line = |row: &[String; 7]| {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let lines: Vec<_> = rows.iter().map(line).collect();
        format!("{}\n{}", self.title, lines.join("\n"))
    }
}
