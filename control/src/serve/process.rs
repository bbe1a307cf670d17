//! `tokenward serve`: from reading the configuration file to a graceful shutdown.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::authorization::log_authorization_server;
use super::certificates::{CONSOLE, CONTROL, Certificates};
use super::console;
use super::error::{ServeError, write_address};
use super::filter_module::log_filter_module;
use super::kubernetes::Resources;
use super::listener::Listener;
use super::reload_socket::ReloadSocket;
use super::reloader::Reloader;
use super::signals::{ReloadSignal, ShutdownSignal};
use super::tls::ListenerTls;
use super::watch::Contents;
use crate::app::dialects::Dialects;
use crate::app::{self, Current, Service, StartError};
use crate::clock::SystemClock;
use crate::config::Loaded;
use crate::http;

/// Serves the configuration in `path` until SIGTERM or SIGINT. SIGHUP, `tokenward reload` and a changed file reload it; a SIGHUP
/// during the start takes effect after it. Writes the listener's address to `address_file`.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(path: &Path, address_file: Option<&Path>) -> Result<(), ServeError> {
    let (reload_signal, mut shutdown_signal) = (ReloadSignal::install(), ShutdownSignal::install());
    let started = tokio::select! {
        started = start(path, address_file) => started?,
        () = shutdown_signal.next() => {
            tracing::info!("stopping");
            tracing::info!("stopped");
            return Ok(());
        }
    };
    let Started {
        listener,
        current,
        reloader,
        console_tls,
        resources,
    } = started;
    let reloading = tokio::spawn(reloader.run(reload_signal, ReloadSocket::open(path)));
    let counting = tokio::spawn(app::census::run(current.clone()));
    let publishing = tokio::spawn(app::filter_state::run(current.clone()));
    let watching = resources.map(|resources| tokio::spawn(resources.run(current.clone())));
    let console = console::start(&current, console_tls, address_file).await?;
    let longest = || longest_stop(current.service().config.issuer_timeout);
    serve_listener(listener, &current, shutdown_signal.next(), longest).await;
    reloading.abort();
    counting.abort();
    publishing.abort();
    if let Some(watching) = watching {
        watching.abort();
    }
    if let Some(console) = console {
        console.stop().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// A process that is ready to serve.
struct Started {
    listener: Listener,
    current: Current,
    reloader: Reloader,
    /// TLS of the console's listener.
    console_tls: Option<ListenerTls>,
    /// The watches of Kubernetes.
    resources: Option<Resources>,
}

async fn start(path: &Path, address_file: Option<&Path>) -> Result<Started, ServeError> {
    let loaded = Loaded::from_file(path);
    let config = loaded.config?;
    // At once: the store may take long to open, and a change meanwhile must be noticed.
    let certificates = Certificates::of(&config).await;
    let known = Contents::of(loaded.files).await;
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
    log_filter_module(&config);
    log_authorization_server(&config, None);
    let (config, resources) = match config.kubernetes.clone() {
        None => (config, None),
        Some(section) => {
            let name = app::replica_name();
            let (watched, config, servers) = Resources::start(config, &section, &*store, &name).await?;
            (config, Some((watched, servers)))
        }
    };
    let dialects = Dialects::new(Arc::clone(&store)).map_err(StartError::from)?;
    let config = Box::pin(dialects.settle(config, None)).await;
    let service = Service::new(config, store, clock)?;
    let (current, resources) = match resources {
        None => (Current::new(service), None),
        Some((watched, servers)) => (Current::with_resources(service, servers), Some(watched)),
    };
    let not_listening = |source| ServeError::Listen {
        address: listen,
        source,
    };
    let socket = TcpListener::bind(listen).await.map_err(not_listening)?;
    let address = socket.local_addr().map_err(not_listening)?;
    if let Some(file) = address_file {
        write_address(file, address)?;
    }
    certificates.report(current.service().metrics());
    let tls = certificates.listener(CONTROL);
    let console_tls = certificates.listener(CONSOLE);
    tracing::info!(%address, tls = tls.is_some(), "listening");
    Ok(Started {
        listener: Listener::new(socket, current.clone()).with_tls(tls),
        reloader: Reloader::new(current.clone(), path, known, certificates).finding(dialects),
        console_tls,
        current,
        resources,
    })
}

/// Serves plain HTTP on `socket` until `stop` is ready, as [`serve`] does.
pub async fn serve_until(
    socket: TcpListener,
    current: &Current,
    stop: impl Future<Output = ()>,
    longest: impl Fn() -> Duration,
) {
    serve_listener(Listener::new(socket, current.clone()), current, stop, longest).await;
}

/// Serves `listener` until `stop` is ready, then waits until the connections have closed and the results of issuer calls in
/// progress are stored. `longest` limits both waits together; it is called when `stop` is ready, and should be shorter than
/// the orchestrator's grace period.
async fn serve_listener(
    listener: Listener,
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
        () = listener.run(signal) => true,
        () = &mut deadline => false,
    };
    if !in_time {
        tracing::warn!("some connections did not close in time");
    }
    let time_left = async {
        if in_time {
            deadline.await;
        }
    };
    tokio::select! {
        biased;
        () = current.wait_idle() => {}
        () = time_left => tracing::warn!("a refresh was still in progress"),
    }
}

/// The longest graceful shutdown where one call to an issuer may take `issuer_timeout`: the last request may be complete as
/// late as `intake.deadline` allows, and the issuer's answer is stored after that.
#[must_use]
pub const fn longest_stop(issuer_timeout: Duration) -> Duration {
    issuer_timeout.saturating_add(Duration::from_secs(15))
}
