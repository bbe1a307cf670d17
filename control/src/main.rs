//! The control service's command line.

mod command;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use secrecy::ExposeSecret as _;
use tokenward_control::config::{self, Config, ConfigError};
use tokenward_control::keygen;
use tokenward_control::observe::log::{self, LogFormat};
use tokenward_control::remote;
use tokenward_control::serve::reload_socket::request_reload;
use tokenward_control::serve::{self, ServeError};

const PROGRAM: &str = "tokenward";
/// Exit code of `reload` where no process was reached.
const NOT_REACHED: u8 = 2;

/// The Tokenward control service, which obtains fresh ID tokens for the gateway.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the token endpoint and the sessions API. SIGHUP, `tokenward reload` and changed files reload the configuration.
    Serve {
        #[command(flatten)]
        config: ConfigFile,
        /// Write the listener's address to this file: useful with port 0.
        #[arg(long)]
        address_file: Option<PathBuf>,
        /// The format of log lines.
        #[arg(long, value_enum, default_value_t = Format::Json)]
        log: Format,
    },
    /// Print all problems of a configuration, and how to fix them.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Make the running process read its configuration again, and print the result. Exit code 0: it applies; 1: it does not,
    /// and the old one stays in force; 2: no process was reached.
    Reload {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the man page.
    Man {
        /// Write the man page and one for each command into this folder instead.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Check every dependency of the service, the gateway, or both, and print a hint for each problem. Changes nothing.
    Doctor(command::doctor::DoctorFlags),
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
    /// Print the public keys of the clients that authenticate with a private key, as a JWK set (RFC 7517) to register at their
    /// issuers.
    ClientKeys {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Convert the aggregator's MCPServer resources to the `servers` of a configuration or of the chart's values.
    Import(command::import::ImportFlags),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration (YAML).
    #[arg(
        id = "config",
        long = "config",
        value_name = "FILE",
        env = "TOKENWARD_CONFIG",
        default_value = "/etc/tokenward/tokenward.yaml"
    )]
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

pub(crate) fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Check { config } => check(&config.path),
        Verb::Reload { config } => reload(&config.path),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Verb::Man { out } => exit_code(man(out.as_deref())),
        Verb::Import(flags) => exit_code(command::import::run(&flags)),
        Verb::Explain(flags) => exit_code(explain(&flags)),
        Verb::ClientKeys { config } => exit_code(command::client_keys::run(&config.path)),
        Verb::Keygen { out } => exit_code(keygen(out.as_deref())),
        Verb::Doctor(flags) => exit_code(command::doctor::run(&flags)),
        Verb::Serve {
            config,
            address_file,
            log,
        } => {
            let format = match log {
                Format::Json => LogFormat::Json,
                Format::Text => LogFormat::Text,
            };
            let config = config.path;
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
        print!("{}", config::issuer_guide(&config));
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

/// Makes the running process reload, and prints what became of it.
#[tokio::main(flavor = "current_thread")]
async fn reload(path: &Path) -> ExitCode {
    let answer = match request_reload(path).await {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(NOT_REACHED);
        }
    };
    if answer.is_applied() {
        println!("{}: applied", path.display());
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "{}: not applied; the old configuration stays in force:",
        path.display()
    );
    for problem in answer.problems {
        eprintln!("{problem}");
    }
    ExitCode::FAILURE
}

fn man(out: Option<&Path>) -> anyhow::Result<()> {
    let command = Cli::command();
    match out {
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout())?,
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            clap_mangen::generate_to(command, folder).with_context(|| folder.display().to_string())?;
        }
    }
    Ok(())
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
