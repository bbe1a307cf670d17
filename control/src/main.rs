//! The control service's command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use clap::{Parser, Subcommand, ValueEnum};
use tokenward_control::clock::SystemClock;
use tokenward_control::config::Config;
use tokenward_control::http;
use tokenward_control::log::{self, LogFormat};
use tokenward_control::service::{self, Service};

/// Keeps stale ID tokens from leaving the gateway: the control service.
#[derive(Debug, Parser)]
#[command(name = "tokenward", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the token endpoint and the sessions API.
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

pub(crate) fn main() -> ExitCode {
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
    let config = Config::load(path).with_context(|| format!("{}", path.display()))?;
    let listen = config.listen;
    let drain = config.issuer_timeout + Duration::from_secs(5);
    let clock = Arc::new(SystemClock);
    let store = service::open_store(&config.store, clock.clone()).await?;
    tracing::info!(
        version = http::VERSION,
        store = store.engine(),
        issuers = config.issuers.len(),
        servers = config.servers.len(),
        "starting"
    );
    let service = Service::new(config, store, clock)?;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    if let Some(file) = address_file {
        write_address(file, address)?;
    }
    tracing::info!(%address, "listening");
    let listener = listener.tap_io(|connection| {
        // Answers are small; waiting to fill a packet only delays them.
        let _ = connection.set_nodelay(true);
    });
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let signal = async move {
        stop_signal().await;
        tracing::info!("stopping");
        let _ = stopping.send(true);
    };
    let server = axum::serve(listener, http::router(Arc::clone(&service))).with_graceful_shutdown(signal);
    let deadline = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = std::future::IntoFuture::into_future(server) => served?,
        () = deadline => tracing::warn!("some connections did not end in time"),
    }
    if !service.drain(drain).await {
        tracing::warn!("a refresh was still under way");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Complete or not at all: whoever waits for the file never reads half an address.
fn write_address(file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, address.to_string())
        .and_then(|()| std::fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
