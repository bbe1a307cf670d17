//! The listener: accepts, bounds how many and how slow, and ends in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::{self, End};
use super::pace::Pace;
use super::places::{Place, Places};
use crate::app::Current;
use crate::config::IntakeConfig;
use crate::http::HttpService;
use crate::observe::metrics::Metrics;

/// After a failed `accept` (mostly: no file descriptor is left) the next try waits this long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);
/// Places beyond `intake.connections`, for when every one of these is at work: there a probe is answered, and everything
/// else gets 503 at once. Silence would look like an outage of the network.
const RESERVED_PLACES: usize = 64;
/// How long a request may take to arrive there, and a connection may rest.
const RESERVED_SECONDS: Duration = Duration::from_secs(1);

/// Serves connections of one socket.
pub struct Listener {
    socket: TcpListener,
    current: Current,
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
        let (stopping, stopped) = watch::channel(false);
        let metrics = self.current.service().metrics().clone();
        let all = Kind {
            site: HttpService::new(self.current.clone()),
            places: Places::new(metrics.clone()),
        };
        let reserve = Kind {
            site: all.site.probes_only(self.current.clone()),
            places: Places::new(metrics.clone()),
        };
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
            let intake = self.current.service().config.intake;
            let pace = Arc::new(Pace::begin(Instant::now()));
            let most = usize::try_from(intake.connections).unwrap_or(usize::MAX);
            if let Some(place) = all.places.take(&pace, most) {
                all.tend(stream, intake, pace, place, metrics.clone(), stopped.clone());
            } else {
                metrics.connection_closed("full");
                let intake = IntakeConfig {
                    deadline: RESERVED_SECONDS,
                    keep_alive: RESERVED_SECONDS,
                    ..intake
                };
                if let Some(place) = reserve.places.take(&pace, RESERVED_PLACES) {
                    reserve.tend(stream, intake, pace, place, metrics.clone(), stopped.clone());
                }
            }
        }
        // Whoever connects from now on shall be refused and go to another replica.
        drop(self.socket);
        stopping.send_replace(true);
        all.places.all_over().await;
        reserve.places.all_over().await;
    }
}

/// One kind of places, and what is served there.
struct Kind {
    site: HttpService,
    places: Arc<Places>,
}

impl Kind {
    fn tend(
        &self,
        stream: TcpStream,
        intake: IntakeConfig,
        pace: Arc<Pace>,
        place: Place,
        metrics: Metrics,
        stopped: watch::Receiver<bool>,
    ) {
        let site = self.site.clone();
        // Answers are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let end = connection::serve(stream, site, intake, pace, stopped).await;
            match end {
                End::Itself => {}
                End::Late => metrics.connection_closed("late"),
                End::Idle => metrics.connection_closed("idle"),
                End::PushedOut => metrics.connection_closed("pushed_out"),
            }
            drop(place);
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
