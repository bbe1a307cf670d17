//! The counts at the end: as a table for the terminal, as JSON for programs.

use std::time::Duration;

use serde::Serialize;

use super::ledger::{Ledger, Step};
use super::{Promise, Screen, Storm};
use tokenward_harness::issuer::Issuer;
use tokenward_harness::parts::EnvoyLine;
use tokenward_harness::world::{Tally, World};

/// What was counted, and which promises were met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Counts of the whole world.
    #[serde(flatten)]
    pub tally: Tally,
    /// Calls that a server answered with 200, seen by the callers.
    pub passed: usize,
    /// Calls that the gateway refused, seen by the callers.
    pub refused: usize,
    /// WARN lines of the loudest pair of session and server; the story is shorter than their minute.
    pub warn_per_pair_max: usize,
    /// Calls from the gateway to control; `None` when Envoy did not answer.
    pub control_calls: Option<usize>,
    /// The storm.
    pub storm: Storm,
    /// The steps and their promises.
    pub steps: Vec<Step>,
    /// The broken promises and the error, one sentence each; empty when all is well.
    pub broken: Vec<String>,
    /// How long the story took.
    pub duration_seconds: f64,
}

impl Report {
    pub(super) async fn new<I: Issuer>(
        world: &World<I>,
        ledger: Ledger,
        outcome: anyhow::Result<()>,
        took: Duration,
    ) -> Self {
        let mut broken: Vec<String> = ledger.steps.iter().flat_map(broken_in).collect();
        broken.extend(
            outcome
                .err()
                .map(|error| format!("the story ended early: {error:#}")),
        );
        Self {
            tally: world.tally(),
            passed: ledger.passed,
            refused: ledger.refused,
            warn_per_pair_max: world.warnings_per_pair().into_values().max().unwrap_or(0),
            control_calls: control_calls(world).await.ok(),
            storm: ledger.storm,
            steps: ledger.steps,
            broken,
            duration_seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
        }
    }

    /// All promises.
    pub fn promises(&self) -> impl Iterator<Item = &Promise> {
        self.steps.iter().flat_map(|step| &step.promises)
    }

    pub(super) fn print(&self, screen: &Screen) {
        let Tally {
            rejected_expired,
            own_tokens,
            accepted,
            refreshes,
            exchanges,
            warnings,
            recoveries,
            ..
        } = &self.tally;
        screen.line("");
        screen.note("Counted");
        let row = |count: &str, value: usize| screen.row(count, &value.to_string(), None);
        screen.row(
            "requests that reached a server with an expired token",
            &rejected_expired.to_string(),
            Some(*rejected_expired == 0),
        );
        screen.row(
            "requests that reached a server with an access token of ours",
            &own_tokens.to_string(),
            Some(*own_tokens == 0),
        );
        row("requests that servers accepted", *accepted);
        row("requests that the gateway refused", self.refused);
        row("refreshes at the home issuer", *refreshes);
        row("exchanges at the remote issuer", *exchanges);
        row(
            "calls from the gateway to control",
            self.control_calls.unwrap_or(0),
        );
        row("WARN lines of the filter", *warnings);
        row("WARN lines of the loudest pair", self.warn_per_pair_max);
        row("INFO lines of the filter", *recoveries);
        let (all, met) = (
            self.promises().count(),
            self.promises().filter(|promise| promise.met).count(),
        );
        let seconds = self.duration_seconds;
        if self.broken.is_empty() {
            screen.verdict(true, &format!("all {all} promises met, in {seconds:.1} s"));
        } else {
            screen.verdict(false, &format!("{met} of {all} promises met, in {seconds:.1} s"));
        }
    }
}

fn broken_in(step: &Step) -> impl Iterator<Item = String> + '_ {
    let broken = step.promises.iter().filter(|promise| !promise.met);
    broken.map(|promise| {
        format!(
            "{}: {} must be {}, was {}",
            step.title, promise.counted, promise.must_be, promise.found
        )
    })
}

/// Calls from the gateway to control so far, by Envoy's own counters.
pub(super) async fn control_calls<I: Issuer>(world: &World<I>) -> anyhow::Result<usize> {
    let calls = world
        .envoy
        .stats()
        .await?
        .count("tokenward_control_calls_total", &[]);
    Ok(usize::try_from(calls)?)
}

/// What the filter logged after a mark.
pub(super) fn filter_lines<I: Issuer>(
    world: &World<I>,
    mark: usize,
) -> impl Iterator<Item = EnvoyLine> + use<I> {
    let lines = world.envoy.log().lines_after(mark).into_iter();
    lines.filter_map(|line| EnvoyLine::read_wasm(&line))
}

/// The number of a field `name=…` of a line.
pub(super) fn number_in(line: &EnvoyLine, name: &str) -> Option<usize> {
    line.field(name)?.parse().ok()
}
