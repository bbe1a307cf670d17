//! The control service's command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use tokenward_control::config::Config;
use tokenward_control::log::{self, LogFormat};
use tokenward_control::serve;

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
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Check { config } => return check(&config),
        Verb::Serve {
            config,
            address_file,
            log,
        } => {
            log::start(match log {
                Format::Json => LogFormat::Json,
                Format::Text => LogFormat::Text,
            });
            serve(&config, address_file.as_deref())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            println!(
                "{}: good ({} issuers, {} servers)",
                path.display(),
                config.issuers.len(),
                config.servers.len()
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}:\n{error}", path.display());
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn serve(path: &Path, address_file: Option<&Path>) -> anyhow::Result<()> {
    Ok(serve::serve(path, address_file).await?)
}
