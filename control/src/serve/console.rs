//! The operators' console beside control's own listener.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::{ServeError, write_address};
use super::listener::Listener;
use super::tls::ListenerTls;
use crate::app::Current;
use crate::app::console::replicas::INTERVAL;

/// The console's running listener.
pub(super) struct ConsoleServer {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Binds and serves the console, if it is configured, with `tls` if there is any. Its address is also written beside `address_file`, with the extension
/// `console`.
///
/// # Errors
/// [`ServeError`].
pub(super) async fn start(
    current: &Current,
    tls: Option<ListenerTls>,
    address_file: Option<&Path>,
) -> Result<Option<ConsoleServer>, ServeError> {
    let service = current.service();
    let Some(config) = &service.config.console else {
        return Ok(None);
    };
    let not_listening = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let socket = TcpListener::bind(config.listen).await.map_err(not_listening)?;
    let address = socket.local_addr().map_err(not_listening)?;
    if let Some(file) = address_file {
        write_address(&file.with_extension("console"), address)?;
    }
    tracing::info!(%address, public_url = config.origin(), issuer = config.client.issuer, "serving the console");
    let (stop, current) = (CancellationToken::new(), current.clone());
    let stopping = stop.clone();
    let task = tokio::spawn(async move {
        let listener = Listener::console(socket, current.clone()).with_tls(tls);
        serve_listener(listener, &current, stopping.cancelled_owned()).await;
    });
    Ok(Some(ConsoleServer { stop, task }))
}

/// How long requests in progress may take once control's own listener has stopped. Live pages are cut off.
const STOP_TIME: Duration = Duration::from_secs(1);

impl ConsoleServer {
    /// Closes the listener and its connections.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        match tokio::time::timeout(STOP_TIME, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the console's listener failed"),
            Err(_) => self.task.abort(),
        }
    }
}

/// Serves the console's `socket` until `stop` is ready, and publishes this replica for the consoles of the others.
pub async fn serve_console(socket: TcpListener, current: Current, stop: impl Future<Output = ()>) {
    serve_listener(Listener::console(socket, current.clone()), &current, stop).await;
}

async fn serve_listener(listener: Listener, current: &Current, stop: impl Future<Output = ()>) {
    tokio::select! {
        () = listener.run(stop) => {}
        () = publish(current) => {}
    }
}

/// Never ends.
async fn publish(current: &Current) {
    loop {
        if let Err(error) = current.service().publish_replica().await {
            tracing::debug!(%error, "this replica was not published for the console");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
