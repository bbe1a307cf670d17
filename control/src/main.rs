//! The control service's command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use secrecy::ExposeSecret as _;
use tokenward_control::config::{self, Config, ConfigError};
use tokenward_control::doctor::{self, CheckOutcome};
use tokenward_control::keygen;
use tokenward_control::observe::log::{self, LogFormat};
use tokenward_control::remote;
use tokenward_control::serve::{self, ServeError};
use tokenward_control::servers::import::Import;
use url::Url;

/// The Tokenward control service, which obtains fresh ID tokens for the gateway.
#[derive(Debug, Parser)]
#[command(name = "tokenward", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the token endpoint and the sessions API. SIGHUP reloads the configuration.
    Serve {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
        /// Write the listener's address to this file: useful with port 0.
        #[arg(long)]
        address_file: Option<PathBuf>,
        /// The format of log lines.
        #[arg(long, value_enum, default_value_t = Format::Json)]
        log: Format,
    },
    /// Print all problems of a configuration, and how to fix them.
    Check {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Check every dependency of the service, and print a hint for each problem. Changes nothing.
    Doctor {
        /// The configuration (YAML).
        #[arg(long)]
        config: PathBuf,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Ask a running control why a session, a user or a pair gets a token for a server, or does not. Changes nothing.
    Explain(remote::ExplainFlags),
    /// Make a signing key for the authorization server's access tokens (Ed25519, PKCS#8 PEM), and print its kid to standard
    /// error.
    Keygen {
        /// Write the key to this file, readable for its owner only, instead of to standard output. A file that exists is
        /// not replaced.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Convert the aggregator's MCPServer resources to the `servers` of a configuration.
    Import {
        /// Output of `kubectl get mcpservers -o yaml` (or `-o json`); `-` is standard input.
        file: PathBuf,
        /// Also print, as a second document, the annotation that each server's HTTPRoute needs.
        #[arg(long)]
        annotations: bool,
        /// Print instead, for each server with tokenExchange, the two fields of its MCPServer resource that lead the
        /// aggregator's exchanges through control at this URL, for `kubectl apply --server-side`.
        #[arg(long, value_name = "URL", value_parser = https_url, conflicts_with = "annotations")]
        exchange_endpoint: Option<Url>,
    },
}

/// An address that the aggregator accepts as `dexTokenEndpoint`, once a path is added.
fn https_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must be https://HOST or https://HOST/PATH: the aggregator accepts no other token endpoint"
                .to_owned(),
        );
    }
    Ok(url)
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

pub(crate) fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Check { config } => check(&config),
        Verb::Import {
            file,
            annotations,
            exchange_endpoint,
        } => exit_code(import(&file, annotations, exchange_endpoint.as_ref())),
        Verb::Explain(flags) => exit_code(explain(&flags)),
        Verb::Keygen { out } => exit_code(keygen(out.as_deref())),
        Verb::Doctor { config, json } => exit_code(doctor(&config, json)),
        Verb::Serve {
            config,
            address_file,
            log,
        } => {
            let format = match log {
                Format::Json => LogFormat::Json,
                Format::Text => LogFormat::Text,
            };
            match serve(&config, address_file.as_deref(), format) {
                Ok(()) => ExitCode::SUCCESS,
                Err(ServeError::Config(error)) => {
                    report(&config, &error);
                    ExitCode::FAILURE
                }
                // Its message contains its cause.
                Err(error) => {
                    tracing::error!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Logs one line for each problem: a log line contains no line break.
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

/// Prints an error as plain text instead of a log line.
fn exit_code(result: anyhow::Result<()>) -> ExitCode {
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
    let failures = serve::preflight(&config);
    if failures.is_empty() {
        println!(
            "{}: good ({} issuers, {} servers)",
            path.display(),
            config.issuers.len(),
            config.servers.len()
        );
        if let Some(guide) = config::guide(&config) {
            print!("{guide}");
        }
        return ExitCode::SUCCESS;
    }
    eprintln!("{}:", path.display());
    for failure in failures {
        eprintln!("{failure}");
    }
    ExitCode::FAILURE
}

fn keygen(out: Option<&Path>) -> anyhow::Result<()> {
    let key = keygen::make()?;
    match out {
        Some(path) => key.write(path)?,
        None => print!("{}", key.pem.expose_secret()),
    }
    eprintln!("kid {}", key.key_id);
    Ok(())
}

/// Prints only the result to standard output, so that it can be redirected to a file.
fn import(file: &Path, annotations: bool, exchange_endpoint: Option<&Url>) -> anyhow::Result<()> {
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
    if let Some(base) = exchange_endpoint {
        return exchange_patches(&name, &import, base);
    }
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

/// Prints the patches for the exchange endpoint at `base`.
fn exchange_patches(name: &str, import: &Import, base: &Url) -> anyhow::Result<()> {
    let patches = import.exchange_patches(base);
    for note in &patches.notes {
        eprintln!("{name}: {}", note.text);
    }
    ensure!(
        !patches.yaml.is_empty(),
        "there is no server in {name} whose exchanges could be led through control"
    );
    print!("{}", patches.yaml);
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
    ensure!(report.outcome != CheckOutcome::Fail, "at least one check failed");
    Ok(())
}

#[tokio::main]
async fn explain(flags: &remote::ExplainFlags) -> anyhow::Result<()> {
    print!("{}", remote::explain(flags).await?);
    Ok(())
}

#[tokio::main]
async fn serve(path: &Path, address_file: Option<&Path>, format: LogFormat) -> Result<(), ServeError> {
    let logging = log::start(format);
    let served = serve::serve(path, address_file).await;
    logging.flush();
    served
}
