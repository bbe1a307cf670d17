//! The listener: accepts connections, limits their number and duration, and shuts down gracefully.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, CloseReason, PeerAddress};
use super::connection_slots::{ConnectionSlot, ConnectionSlots};
use super::progress::ConnectionProgress;
use super::tls::{ClientCertificate, ListenerTls};
use crate::app::Current;
use crate::config::IntakeConfig;
use crate::http::HttpService;
use crate::observe::metrics::Metrics;

/// Delay after a failed `accept`, which mostly means that no file descriptor is left.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);
/// Slots beyond `intake.connections`, for when every regular slot is busy: there, health probes are answered and all other
/// requests get 503 at once. Without a response, overload would look like a network outage.
const RESERVED_SLOTS: usize = 64;
/// Request deadline and keep-alive of a connection in a reserved slot.
const RESERVED_DEADLINE: Duration = Duration::from_secs(1);

/// Serves the connections of one socket.
pub struct Listener {
    socket: TcpListener,
    current: Current,
    site: HttpService,
    tls: Option<ListenerTls>,
}

impl Listener {
    /// Serves connections of `socket` with the service that is `current` at the time of each request.
    #[must_use]
    pub fn new(socket: TcpListener, current: Current) -> Self {
        Self {
            site: HttpService::new(current.clone()),
            socket,
            current,
            tls: None,
        }
    }

    /// The same for the operators' console.
    #[must_use]
    pub fn console(socket: TcpListener, current: Current) -> Self {
        Self {
            site: HttpService::console(current.clone()),
            socket,
            current,
            tls: None,
        }
    }

    /// Serves TLS alone, with what `tls` has in force when a connection begins; `None`: plain HTTP.
    #[must_use]
    pub fn with_tls(self, tls: Option<ListenerTls>) -> Self {
        Self { tls, ..self }
    }

    /// Serves until `stop` is ready, then accepts no new connection and waits until the open ones have answered their
    /// requests. The wait has no limit of its own: the caller sets one.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let connections = Connections {
            tls: self.tls,
            ..Connections::default()
        };
        // Dropping this future shuts the connections down too.
        let shutdown = connections.shutdown.clone().drop_guard();
        let metrics = self.current.service().metrics().clone();
        let site = self.site;
        let reserved = Pool {
            site: site.probes_only(self.current.clone()),
            uncertified: site.probes_only(self.current.clone()),
            slots: ConnectionSlots::new(metrics.clone()),
        };
        let regular = Pool {
            uncertified: site.uncertified(self.current.clone()),
            site,
            slots: ConnectionSlots::new(metrics.clone()),
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok((stream, peer)) => (stream, PeerAddress(peer.ip())),
                Err(error) => {
                    if !is_connection_error(&error) {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                    continue;
                }
            };
            let intake = self.current.service().config.intake;
            let progress = Arc::new(ConnectionProgress::new(Instant::now()));
            let limit = usize::try_from(intake.connections).unwrap_or(usize::MAX);
            if let Some(slot) = regular.slots.take(&progress, limit) {
                connections.spawn(&regular, (stream, peer), intake, progress, slot, metrics.clone());
            } else {
                metrics.connection_closed("full");
                let intake = IntakeConfig {
                    deadline: RESERVED_DEADLINE,
                    keep_alive: RESERVED_DEADLINE,
                    ..intake
                };
                if let Some(slot) = reserved.slots.take(&progress, RESERVED_SLOTS) {
                    connections.spawn(&reserved, (stream, peer), intake, progress, slot, metrics.clone());
                }
            }
        }
        // New connections are refused from here on, so that clients go to another replica.
        drop(self.socket);
        drop(shutdown);
        connections.closed().await;
    }
}

/// A pool of slots, and the routes that its connections are served with.
struct Pool {
    site: HttpService,
    /// The routes for connections without the client certificate that `tls.client_ca` demands.
    uncertified: HttpService,
    slots: Arc<ConnectionSlots>,
}

/// The tasks of all open connections, evicted ones included.
#[derive(Default)]
struct Connections {
    tasks: TaskTracker,
    tls: Option<ListenerTls>,
    /// Cancelled when the listener stops: connections finish their requests and close.
    shutdown: CancellationToken,
}

impl Connections {
    /// Serves `stream` in a task of its own, which holds `slot` until the connection has closed.
    fn spawn(
        &self,
        pool: &Pool,
        (stream, peer): (TcpStream, PeerAddress),
        intake: IntakeConfig,
        progress: Arc<ConnectionProgress>,
        slot: ConnectionSlot,
        metrics: Metrics,
    ) {
        let (site, uncertified) = (pool.site.clone(), pool.uncertified.clone());
        let (tls, shutdown) = (self.tls.clone(), self.shutdown.clone());
        // Responses are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        self.tasks.spawn(async move {
            let serve = async {
                let Some(tls) = tls else {
                    return connection::serve_connection(stream, peer, site, intake, progress, shutdown)
                        .await;
                };
                // The first request's deadline began with the connection.
                let until = Instant::now() + intake.deadline;
                let (stream, certificate) = match tls.accept(stream, &progress, until, &shutdown).await {
                    Ok(accepted) => accepted,
                    Err(reason) => return reason,
                };
                let site = match certificate {
                    ClientCertificate::NotAsked | ClientCertificate::Accepted => site,
                    ClientCertificate::Missing => uncertified,
                };
                connection::serve_connection(stream, peer, site, intake, progress, shutdown).await
            };
            match serve.await {
                CloseReason::Finished => {}
                CloseReason::Late => metrics.connection_closed("late"),
                CloseReason::Idle => metrics.connection_closed("idle"),
                CloseReason::Evicted => metrics.connection_closed("pushed_out"),
                CloseReason::NoHandshake => metrics.connection_closed("no_handshake"),
            }
            drop(slot);
        });
    }

    /// Waits until every connection has closed.
    async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Whether the error is about the connection that was to be accepted, not about the listener.
fn is_connection_error(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
