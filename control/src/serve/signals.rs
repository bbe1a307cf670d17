//! What an operator or an orchestrator tells the process. Listened for from its first moment on: before that, each of
//! these signals ends it.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP: the configuration is to be read anew.
pub(super) struct Hangups(#[cfg(unix)] Option<Signal>);

/// SIGTERM and SIGINT: the process is to end.
pub(super) struct Stops(#[cfg(unix)] [Option<Signal>; 2]);

#[cfg(unix)]
fn listen(kind: SignalKind, otherwise: &str) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(%error, "{otherwise}"))
        .ok()
}

#[cfg(unix)]
async fn received(signal: &mut Option<Signal>) {
    let heard = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
impl Hangups {
    pub(super) fn listen() -> Self {
        const OTHERWISE: &str = "SIGHUP cannot be received: a new configuration needs a restart";
        Self(listen(SignalKind::hangup(), OTHERWISE))
    }

    /// The next one; any number that came since the last are one.
    pub(super) async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

#[cfg(unix)]
impl Stops {
    pub(super) fn listen() -> Self {
        const OTHERWISE: &str = "a signal to stop cannot be received: the process ends without order";
        Self([SignalKind::terminate(), SignalKind::interrupt()].map(|kind| listen(kind, OTHERWISE)))
    }

    pub(super) async fn next(&mut self) {
        let [terminate, interrupt] = &mut self.0;
        tokio::select! {
            () = received(terminate) => {}
            () = received(interrupt) => {}
        }
    }
}

#[cfg(not(unix))]
impl Hangups {
    pub(super) fn listen() -> Self {
        Self()
    }

    pub(super) async fn next(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(not(unix))]
impl Stops {
    pub(super) fn listen() -> Self {
        Self()
    }

    pub(super) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
