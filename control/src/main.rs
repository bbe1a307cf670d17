//! The control service's command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use tokenward_control::config::{Config, ConfigError};
use tokenward_control::doctor::{self, CheckOutcome};
use tokenward_control::observe::log::{self, LogFormat};
use tokenward_control::serve::{self, ServeError};
use tokenward_control::servers::import::Import;

/// Keeps stale ID tokens from leaving the gateway: the control service.
#[derive(Debug, Parser)]
#[command(name = "tokenward", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the token endpoint and the sessions API. SIGHUP reads the configuration anew.
    Serve {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
        /// Write the address that is listened on to this file: useful with port 0.
        #[arg(long)]
        address_file: Option<PathBuf>,
        /// How log lines look.
        #[arg(long, value_enum, default_value_t = Format::Json)]
        log: Format,
    },
    /// Say everything that is wrong with a configuration, and how to mend it.
    Check {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Look at everything that the service will rest on, and say the cure of each thing. Leaves everything as it was.
    Doctor {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Turn the aggregator's MCPServer resources into the `servers` of a configuration.
    Import {
        /// What `kubectl get mcpservers -o yaml` (or `-o json`) printed; `-` is standard input.
        file: PathBuf,
        /// Also print, as a second document, the annotation that each server's HTTPRoute needs.
        #[arg(long)]
        annotations: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

pub(crate) fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Check { config } => check(&config),
        Verb::Import { file, annotations } => said(import(&file, annotations)),
        Verb::Doctor { config, json } => said(doctor(&config, json)),
        Verb::Serve {
            config,
            address_file,
            log,
        } => {
            log::start(match log {
                Format::Json => LogFormat::Json,
                Format::Text => LogFormat::Text,
            });
            match serve(&config, address_file.as_deref()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(ServeError::Config(error)) => {
                    report(&config, &error);
                    ExitCode::FAILURE
                }
                // Its own words name its cause.
                Err(error) => {
                    tracing::error!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// One line for each problem: a log line holds no line break.
fn report(path: &Path, error: &ConfigError) {
    match error {
        ConfigError::Invalid(problems) => {
            for problem in problems {
                tracing::error!("{}: {problem}", path.display());
            }
        }
        ConfigError::Unreadable { .. } => tracing::error!("{error}"),
    }
}

/// For a person at a terminal: no log line.
fn said(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error @ ConfigError::Unreadable { .. }) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        Err(error @ ConfigError::Invalid(_)) => {
            eprintln!("{}:\n{error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let obstacles = serve::preflight(&config);
    if obstacles.is_empty() {
        println!(
            "{}: good ({} issuers, {} servers)",
            path.display(),
            config.issuers.len(),
            config.servers.len()
        );
        return ExitCode::SUCCESS;
    }
    eprintln!("{}:", path.display());
    for obstacle in obstacles {
        eprintln!("{obstacle}");
    }
    ExitCode::FAILURE
}

/// Standard output is the result alone, so that it can go into a file.
fn import(file: &Path, annotations: bool) -> anyhow::Result<()> {
    let (name, text) = if file == Path::new("-") {
        (
            "standard input".to_owned(),
            std::io::read_to_string(std::io::stdin()),
        )
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    let text = text.with_context(|| name.clone())?;
    let import = Import::read(&text).with_context(|| name.clone())?;
    for note in &import.notes {
        eprintln!("{name}: {note}");
    }
    ensure!(
        !import.servers.is_empty(),
        "there is no server to protect in {name}"
    );
    print!("{}", import.servers_block());
    if annotations {
        print!("---\n{}", import.annotations());
    }
    Ok(())
}

#[tokio::main]
async fn doctor(config: &Path, json: bool) -> anyhow::Result<()> {
    let report = doctor::examine_file(config).await;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    ensure!(
        report.outcome != CheckOutcome::Fail,
        "something must be mended first"
    );
    Ok(())
}

#[tokio::main]
async fn serve(path: &Path, address_file: Option<&Path>) -> Result<(), ServeError> {
    serve::serve(path, address_file).await
}
