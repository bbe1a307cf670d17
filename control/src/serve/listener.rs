//! The listener: accepts, bounds how many and how slow, and ends in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::{self, End};
use super::farewell::Farewells;
use super::pace::Pace;
use crate::http::router_of;
use crate::metrics::Metrics;
use crate::service::Current;

/// After a failed `accept` (mostly: no file descriptor is left) the next try waits this long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Serves connections of one socket.
pub struct Listener {
    socket: TcpListener,
    current: Current,
}

/// One place among `intake.connections`.
struct Place {
    open: Arc<watch::Sender<u32>>,
    metrics: Metrics,
}

impl Place {
    /// A place, unless as many as `most` are taken.
    fn take(open: &Arc<watch::Sender<u32>>, most: u32, metrics: &Metrics) -> Option<Self> {
        let taken = open.send_if_modified(|count| {
            let free = *count < most;
            *count += u32::from(free);
            free
        });
        taken.then(|| {
            metrics.connections.inc();
            Self {
                open: Arc::clone(open),
                metrics: metrics.clone(),
            }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
        self.open.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Listener {
    /// Connections of `socket` are served by whoever is `current`.
    #[must_use]
    pub fn new(socket: TcpListener, current: Current) -> Self {
        Self { socket, current }
    }

    /// Serves until `stop` is ready, then takes no new connection and waits until those that are open have answered
    /// what they were asked, without a bound: the caller has one.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let router = router_of(self.current.clone());
        let metrics = self.current.service().metrics().clone();
        let open = Arc::new(watch::Sender::new(0_u32));
        let (stopping, stopped) = watch::channel(false);
        let farewells = Farewells::default();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = self.socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !is_of_one_connection(&error) {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                    continue;
                }
            };
            let most = self.current.service().config.intake.connections;
            match Place::take(&open, most, &metrics) {
                Some(place) => self.tend(stream, router.clone(), place, stopped.clone()),
                None => {
                    metrics.connection_closed("full");
                    farewells.say(stream);
                }
            }
        }
        // Whoever connects from now on shall be refused and go to another replica.
        drop(self.socket);
        stopping.send_replace(true);
        let mut open = open.subscribe();
        // The sender lives as long as a connection does; without one nothing is open.
        let _ = open.wait_for(|count| *count == 0).await;
    }

    fn tend(&self, stream: TcpStream, router: Router, place: Place, stopped: watch::Receiver<bool>) {
        let intake = self.current.service().config.intake;
        // Answers are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let pace = Arc::new(Pace::begin(Instant::now()));
            let end = connection::serve(stream, router, intake, pace, stopped).await;
            match end {
                End::Itself => {}
                End::Late => place.metrics.connection_closed("late"),
                End::Idle => place.metrics.connection_closed("idle"),
            }
        });
    }
}

/// Errors of the connection that was to be accepted, not of the listener.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset
    )
}
