//! The table of counts, and the file with all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::conformance::Conformance;
use super::outcome::Outcome;
use super::refresh_rounds::RefreshRounds;
use super::shared_token::SharedToken;

/// The file that `cargo xtask clients --json` names.
const JSON_FILE: &str = "TOKENWARD_CLIENTS_JSON";

/// Counts on the terminal and in the file, which each story adds its own to.
pub(crate) struct Report;

impl Report {
    pub(crate) fn of_clients(
        outcomes: &[Outcome],
        requests: &BTreeMap<String, u64>,
        own_tokens: usize,
    ) -> anyhow::Result<()> {
        println!("\n{}", table(outcomes));
        println!("requests at the authorization server: {requests:#?}");
        add(|all| {
            all["clients"] = json!(outcomes);
            all["requests"] = json!(requests);
            let lost: usize = outcomes.iter().map(|outcome| outcome.logins_lost).sum();
            count(all, lost, own_tokens);
        })
    }

    pub(crate) fn of_shared_token(outcome: &SharedToken, own_tokens: usize) -> anyhow::Result<()> {
        println!("\none refresh token of many processes: {outcome:?}");
        add(|all| {
            all["shared_refresh_token"] = json!(outcome);
            count(all, outcome.logins_lost, own_tokens);
        })
    }

    pub(crate) fn of_refresh_rounds(outcome: &RefreshRounds, own_tokens: usize) -> anyhow::Result<()> {
        println!("\nmany processes that refresh at once: {outcome:?}");
        add(|all| {
            all["refresh_rounds"] = json!(outcome);
            count(all, outcome.logins_lost, own_tokens);
        })
    }

    pub(crate) fn of_conformance(results: &Conformance) -> anyhow::Result<()> {
        println!("\nconformance suite: {}", json!(results));
        add(|all| all["conformance"] = json!(results))
    }
}

/// The sums over all stories; both must be 0.
fn count(all: &mut Value, logins_lost: usize, own_tokens: usize) {
    for (name, more) in [
        ("logins_lost", logins_lost),
        ("own_tokens_at_servers", own_tokens),
    ] {
        let before = all[name].as_u64().unwrap_or_default();
        all[name] = json!(before + more as u64);
    }
}

fn add(change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
    let Some(file) = std::env::var_os(JSON_FILE).map(PathBuf::from) else {
        return Ok(());
    };
    let mut all = match std::fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => json!({}),
    };
    change(&mut all);
    Ok(std::fs::write(file, serde_json::to_string_pretty(&all)?)?)
}

fn table(outcomes: &[Outcome]) -> String {
    let head = [
        "client",
        "version",
        "server",
        "tools",
        "after expiry",
        "after new login",
        "logins",
        "lost",
        "failures",
    ]
    .map(str::to_owned);
    let rows = outcomes.iter().map(|outcome| {
        [
            outcome.name.clone(),
            outcome.version.clone(),
            outcome.server.to_owned(),
            outcome.tools.to_string(),
            outcome.calls_after_expiry.to_string(),
            outcome.calls_after_new_login.to_string(),
            outcome.logins.to_string(),
            outcome.logins_lost.to_string(),
            outcome.failures.to_string(),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].len());
        cells.max().unwrap_or(0)
    };
    let line = |row: &[String; 9]| {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(column, cell)| format!("{cell:<0$}", width(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
