//! The listener of a program on the user's computer: where the browser takes the code to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Html;
use axum::routing::get;
use tokenward_harness::parts::{LoopbackServer, LoopbackSocket};
use tokio::sync::mpsc;

const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// A listener at `/callback` of a free port. It ends when it is dropped.
pub(crate) struct LoopbackClient {
    server: LoopbackServer,
    arrivals: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl LoopbackClient {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let router = Router::new().route("/callback", get(take)).with_state(sender);
        let server = LoopbackSocket::bind().await?.serve(router, Arc::default());
        Ok(Self {
            server,
            arrivals: Mutex::new(arrivals),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What it registers as its redirect URI, with the port of now.
    pub(crate) fn redirect_uri(&self) -> String {
        format!("http://{}/callback", self.address())
    }

    /// The parameters that a browser brings.
    pub(crate) async fn arrival(&self) -> anyhow::Result<Vec<(String, String)>> {
        let receiving = std::future::poll_fn(|context| {
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.poll_recv(context)
        });
        let query = tokio::time::timeout(ARRIVES_WITHIN, receiving)
            .await
            .context("no browser came to the client")?
            .context("the client has ended")?;
        Ok(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }
}

async fn take(
    State(arrivals): State<mpsc::UnboundedSender<String>>,
    RawQuery(query): RawQuery,
) -> Html<&'static str> {
    // The test may be over.
    let _ = arrivals.send(query.unwrap_or_default());
    Html(
        "<!doctype html><html lang=\"en\"><link rel=\"icon\" href=\"data:,\"><title>Done</title>\
         <p id=\"done\">The program has what it needs.</p></html>",
    )
}
