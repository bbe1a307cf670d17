//! `cargo xtask VERB`: every command that a person or CI needs.

mod changelog;
mod chart_values;
mod clients;
mod cluster;
mod console;
mod fuzz;
mod gateway;
mod issuers;
mod lab;
mod lint;
mod modules;
mod process;
mod relay;
mod release;
mod runner_output;
mod setup;
mod soak;
mod stories;
mod terminal;
mod test;
mod version;
mod wasm_sections;
mod workspace;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokenward_lab_cli::{BenchFlags, DemoFlags, ReplayFlags, SimulateFlags};

use crate::terminal::Terminal;
use crate::workspace::Workspace;

/// The commands of the Tokenward repository.
///
/// A fresh clone needs Rust, Python 3 and a C compiler; every verb fetches what else it needs into target/tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Get the wasm target, Envoy, Valkey, and what only tests need (Dex, a strict issuer, MCP SDKs and servers); prints what
    /// was there and what it fetched
    Setup(setup::SetupFlags),
    /// Build the filter module, the control service and the demo, and check the module
    Build {
        /// Only the filter module
        #[arg(long)]
        module_only: bool,
    },
    /// Set up, build and run the tests
    Test(test::TestFlags),
    /// Set up, build and run the long tests: minutes of load on real Envoy, 400 kills of real control processes
    Soak(soak::SoakFlags),
    /// Fuzz the parsers and the shared memory with libFuzzer: one minute each, or as long as given
    Fuzz(fuzz::FuzzFlags),
    /// Check format, clippy, language, import circles, file lengths, links, licences and hygiene of the repository
    Lint(lint::LintFlags),
    /// Set up, build and run the demo in this terminal
    ///
    /// It shows how Tokenward refuses, refreshes and exchanges stale ID tokens, in real time. Everything runs on 127.0.0.1: two
    /// issuers, the control service, Envoy with the filter, two MCP servers. After the story it stays up for calls by hand,
    /// until Ctrl-C.
    Demo(DemoFlags),
    /// Set up, build and replay the incident without the filter, with it, and with an aggregator that registers nothing: six
    /// minutes
    ///
    /// Everything runs on 127.0.0.1: two issuers, Valkey, the control service, Envoy, 17 MCP servers, and an aggregator that
    /// behaves as it did. A minute of the incident takes a second.
    Replay(ReplayFlags),
    /// Check the chart and the Envoy Gateway resources, and run the stories on a real Envoy Gateway; needs Go
    Gateway(gateway::GatewayFlags),
    /// Install, upgrade and run the chart on a real Kubernetes API server with a real Envoy Gateway; needs Go, and ten minutes
    /// to build the API server at first
    Cluster(cluster::ClusterFlags),
    /// Run the stories of other issuers than Dex: on a real Keycloak, which needs Java 17 and Maven, and on fakes of Entra ID,
    /// Okta, Auth0 and Google
    Issuers(issuers::IssuersFlags),
    /// Run unmodified programs (oauth2-proxy, Envoy's oauth2 filter, an aggregator) behind the relay on real issuers, and count;
    /// needs Go
    Relay(stories::CountedStoriesFlags),
    /// Log real MCP clients in at our own authorization server on real Envoy and real Dex, and run the MCP conformance suite
    /// against it; needs Go
    Clients(stories::CountedStoriesFlags),
    /// Make everything of a release (programs, module, images, chart, bills of materials, checksums, notes) and check it, or
    /// upload what was made; needs Go
    Release(release::ReleaseFlags),
    /// Open the operators' console in a real browser, on two replicas and with 10⁶ sessions; keeps pictures in target/browser
    Console(console::ConsoleFlags),
    /// Set up, build in release and measure: `data-path` (CPU, latency, streams), `memory` (10⁶ sessions) or `control`
    Bench(BenchFlags),
    /// Simulate 10⁴ workers and 10⁶ sessions for an hour under virtual time, with incidents; fails if a promise breaks
    Simulate(SimulateFlags),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let terminal = Terminal::detect();
    let outcome = Workspace::find().and_then(|workspace| match command_line.verb {
        Verb::Setup(flags) => setup::run(&workspace, &terminal, &flags).map(|()| ExitCode::SUCCESS),
        Verb::Build { module_only: true } => {
            modules::bare_module(&workspace, &terminal)?;
            modules::filter_module(&workspace, &terminal).map(|()| ExitCode::SUCCESS)
        }
        Verb::Build { module_only: false } => lab::build(&workspace, &terminal).map(|()| ExitCode::SUCCESS),
        Verb::Test(flags) => test::run(&workspace, &terminal, &flags),
        Verb::Soak(flags) => soak::run(&workspace, &terminal, &flags),
        Verb::Fuzz(flags) => fuzz::run(&workspace, &terminal, &flags),
        Verb::Lint(flags) => lint::run(&workspace, &terminal, &flags),
        Verb::Demo(flags) => lab::demo(&workspace, &terminal, &flags),
        Verb::Replay(flags) => lab::replay(&workspace, &terminal, &flags),
        Verb::Gateway(flags) => gateway::run(&workspace, &terminal, &flags),
        Verb::Cluster(flags) => cluster::run(&workspace, &terminal, &flags),
        Verb::Issuers(flags) => issuers::run(&workspace, &terminal, &flags),
        Verb::Relay(flags) => relay::run(&workspace, &terminal, &flags),
        Verb::Clients(flags) => clients::run(&workspace, &terminal, &flags),
        Verb::Release(flags) => release::run(&workspace, &terminal, &flags),
        Verb::Console(flags) => console::run(&workspace, &terminal, &flags),
        Verb::Bench(flags) => lab::bench(&workspace, &terminal, &flags),
        Verb::Simulate(flags) => lab::simulate(&workspace, &terminal, &flags),
    });
    outcome.unwrap_or_else(|error| {
        terminal.failure(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
