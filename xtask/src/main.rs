//! `cargo xtask VERB`: every command that a person or CI needs.

mod bench;
mod demo;
mod fuzz;
mod gateway;
mod lint;
mod modules;
mod process;
mod replay;
mod runner_output;
mod setup;
mod soak;
mod terminal;
mod test;
mod version;
mod wasm_sections;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Get the wasm target, Envoy, Valkey, and what only tests need (Dex, a strict issuer, MCP SDKs and servers); says what
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
    /// Fuzz the parsers and the shared memory with libFuzzer: one minute each, or as long as you say
    Fuzz(fuzz::FuzzFlags),
    /// Check format, clippy, licences, file lengths, links and hygiene of the repository
    Lint(lint::LintFlags),
    /// Set up, build and run the demo in this terminal
    Demo(demo::DemoFlags),
    /// Set up, build and replay the incident, first without the filter and then with it: three minutes
    Replay(replay::ReplayFlags),
    /// Check the chart and the Envoy Gateway resources, and run the stories on a real Envoy Gateway; needs Go
    Gateway(gateway::GatewayFlags),
    /// Set up, build in release and measure: `data-path` (CPU, latency, streams) or `memory` (10⁶ sessions)
    Bench(bench::BenchFlags),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let terminal = Terminal::detect();
    let outcome = Workspace::find().and_then(|workspace| match command_line.verb {
        Verb::Setup(flags) => setup::run(&workspace, &terminal, &flags).map(|()| ExitCode::SUCCESS),
        Verb::Build { module_only: true } => {
            modules::filter_module(&workspace, &terminal).map(|()| ExitCode::SUCCESS)
        }
        Verb::Build { module_only: false } => {
            modules::build_all(&workspace, &terminal).map(|()| ExitCode::SUCCESS)
        }
        Verb::Test(flags) => test::run(&workspace, &terminal, &flags),
        Verb::Soak(flags) => soak::run(&workspace, &terminal, &flags),
        Verb::Fuzz(flags) => fuzz::run(&workspace, &terminal, &flags),
        Verb::Lint(flags) => lint::run(&workspace, &terminal, &flags),
        Verb::Demo(flags) => demo::run(&workspace, &terminal, &flags),
        Verb::Replay(flags) => replay::run(&workspace, &terminal, &flags),
        Verb::Gateway(flags) => gateway::run(&workspace, &terminal, &flags),
        Verb::Bench(flags) => bench::run(&workspace, &terminal, &flags),
    });
    outcome.unwrap_or_else(|error| {
        terminal.failure(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}
