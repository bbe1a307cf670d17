//! Signals from an operator or an orchestrator. The handlers are installed when the process starts: without a handler, each
//! of these signals terminates it.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP: reload the configuration.
pub(super) struct ReloadSignal(#[cfg(unix)] Option<Signal>);

/// SIGTERM and SIGINT: shut down.
pub(super) struct ShutdownSignal(#[cfg(unix)] [Option<Signal>; 2]);

/// Installs the handler; logs `on_failure` and returns `None` when that fails.
#[cfg(unix)]
fn install(kind: SignalKind, on_failure: &str) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(%error, "{on_failure}"))
        .ok()
}

/// Waits for the signal; never returns without a handler.
#[cfg(unix)]
async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
impl ReloadSignal {
    pub(super) fn install() -> Self {
        const ON_FAILURE: &str = "SIGHUP cannot be received: a new configuration needs a restart";
        Self(install(SignalKind::hangup(), ON_FAILURE))
    }

    /// Waits for the next signal; several that arrive before the call count as one.
    pub(super) async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

#[cfg(unix)]
impl ShutdownSignal {
    pub(super) fn install() -> Self {
        const ON_FAILURE: &str =
            "a stop signal cannot be received: it terminates the process without a graceful shutdown";
        Self([SignalKind::terminate(), SignalKind::interrupt()].map(|kind| install(kind, ON_FAILURE)))
    }

    /// Waits for either signal.
    pub(super) async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! {
            () = received(terminate) => {}
            () = received(interrupt) => {}
        }
    }
}

#[cfg(not(unix))]
impl ReloadSignal {
    pub(super) fn install() -> Self {
        Self()
    }

    pub(super) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
impl ShutdownSignal {
    pub(super) fn install() -> Self {
        Self()
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
