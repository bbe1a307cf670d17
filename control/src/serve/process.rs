//! `tokenward serve`: from a configuration file to an orderly end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Listener;
use super::reload::reload;
use super::signals::{Hangups, Stops};
use crate::app::{self, Current, Service, StartError};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError};
use crate::http;

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotServed {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store, the keys or the client for issuers.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The address file.
    #[error("cannot write {path}: {source}")]
    AddressFile {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Serves the configuration in `path` until SIGTERM or SIGINT; SIGHUP reads it anew, one that came during the start
/// after it. The address that is listened on is written to `address_file`.
///
/// # Errors
/// [`NotServed`].
pub async fn serve(path: &Path, address_file: Option<&Path>) -> Result<(), NotServed> {
    let (hangups, mut stops) = (Hangups::listen(), Stops::listen());
    let (socket, current) = tokio::select! {
        started = start(path, address_file) => started?,
        () = stops.next() => {
            tracing::info!("stopping");
            tracing::info!("stopped");
            return Ok(());
        }
    };
    let reloading = tokio::spawn(reload_on_hangup(hangups, current.clone(), path.to_owned()));
    let longest = || longest_stop(current.service().config.issuer_timeout);
    serve_until(socket, &current, stops.next(), longest).await;
    reloading.abort();
    tracing::info!("stopped");
    Ok(())
}

async fn start(path: &Path, address_file: Option<&Path>) -> Result<(TcpListener, Current), NotServed> {
    let config = Config::load(path)?;
    let listen = config.listen;
    let clock = Arc::new(SystemClock);
    let store = app::open_store(&config.store, clock.clone()).await?;
    tracing::info!(
        version = http::VERSION,
        store = store.engine(),
        issuers = config.issuers.len(),
        servers = config.servers.len(),
        "starting"
    );
    tell_filter_module(&config);
    let current = Current::new(Service::new(config, store, clock)?);
    let not_listening = |source| NotServed::Listen {
        address: listen,
        source,
    };
    let socket = TcpListener::bind(listen).await.map_err(not_listening)?;
    let address = socket.local_addr().map_err(not_listening)?;
    if let Some(file) = address_file {
        write_address(file, address)?;
    }
    tracing::info!(%address, "listening");
    Ok((socket, current))
}

/// Serves `socket` until `stop`, then waits until the connections have ended and what is under way at an issuer is
/// written down: both together as long as `longest` says at that moment, so that nobody ends the process before.
pub async fn serve_until(
    socket: TcpListener,
    current: &Current,
    stop: impl Future<Output = ()>,
    longest: impl Fn() -> Duration,
) {
    let (stopping, stopped) = oneshot::channel();
    let signal = async move {
        stop.await;
        tracing::info!("stopping");
        let _ = stopping.send(Instant::now() + longest());
    };
    let deadline = async {
        match stopped.await {
            Ok(until) => tokio::time::sleep_until(until).await,
            Err(_) => std::future::pending().await,
        }
    };
    let mut deadline = pin!(deadline);
    let in_time = tokio::select! {
        () = Listener::new(socket, current.clone()).run(signal) => true,
        () = &mut deadline => false,
    };
    if !in_time {
        tracing::warn!("some connections did not end in time");
    }
    let time_left = async {
        if in_time {
            deadline.await;
        }
    };
    tokio::select! {
        biased;
        () = current.wait_idle() => {}
        () = time_left => tracing::warn!("a refresh was still under way"),
    }
}

/// The longest that an orderly end takes, where one call to an issuer may take `issuer_timeout`: the last request may
/// come as late as `intake.deadline` says, and the issuer's answer is written down after it.
#[must_use]
pub const fn longest_stop(issuer_timeout: Duration) -> Duration {
    issuer_timeout.saturating_add(Duration::from_secs(15))
}

/// Whoever writes Envoy's configuration needs the digest.
pub(super) fn tell_filter_module(config: &Config) {
    let Some(module) = &config.filter_module else {
        return;
    };
    let (path, sha256) = (module.path.display(), module.sha256.as_str());
    match &module.version {
        Some(version) => tracing::info!(%path, sha256, version, "serving the filter module"),
        None => tracing::warn!(
            %path,
            sha256,
            "serving a filter module that does not say its version: make sure that it is of this release"
        ),
    }
}

/// Complete or not at all: whoever waits for the file never reads half an address.
fn write_address(file: &Path, address: SocketAddr) -> Result<(), NotServed> {
    let unfinished = file.with_extension("unfinished");
    std::fs::write(&unfinished, address.to_string())
        .and_then(|()| std::fs::rename(&unfinished, file))
        .map_err(|source| NotServed::AddressFile {
            path: file.to_owned(),
            source,
        })
}

async fn reload_on_hangup(mut hangups: Hangups, current: Current, path: PathBuf) {
    loop {
        hangups.next().await;
        reload(&current, &path).await;
    }
}
