//! A request's trace goes on through control: its store operations and calls to issuers are child spans at the collector, and
//! the issuer gets the trace's id.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap as AxumHeaders;
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use url::Url;

use super::Exporter;
use crate::clock::SystemClock;
use crate::observe::metrics::Metrics;
use crate::observe::trace;
use crate::store::counted::CountedStore;
use crate::store::embedded::EmbeddedStore;
use crate::store::{Key, Store};
use crate::upstream::issuer::client::IssuerClient;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";

/// What the collector and the issuer received.
#[derive(Clone, Default)]
struct Received {
    exported: Arc<Mutex<Vec<u8>>>,
    traceparent: Arc<Mutex<Option<String>>>,
}

async fn collect(State(received): State<Received>, body: Bytes) {
    let mut exported = received.exported.lock().unwrap_or_else(PoisonError::into_inner);
    exported.extend_from_slice(&body);
}

async fn issue(State(received): State<Received>, headers: AxumHeaders) -> &'static str {
    let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    let mut seen = received
        .traceparent
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *seen = traceparent.map(str::to_owned);
    "{}"
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| crate::digest::nibble(digit).unwrap_or_default();
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requests_trace_has_its_store_operations_and_its_calls_to_issuers() -> anyhow::Result<()> {
    let received = Received::default();
    let routes = Router::new()
        .route("/v1/traces", post(collect))
        .route("/keys", get(issue))
        .with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });

    let exporter = Exporter::new(|collector| {
        SpanExporter::builder()
            .with_http()
            .with_http_client(collector)
            .with_endpoint(format!("{base}/v1/traces"))
            .build()
    })?;
    let subscriber = tracing_subscriber::registry().with(exporter.layer());
    let guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::TempDir::new()?;
    let file = folder.path().join("store.redb");
    let engine = EmbeddedStore::open(file, Duration::from_secs(20), Arc::new(SystemClock)).await?;
    let store = CountedStore::new(Arc::new(engine), Metrics::default());
    let mut headers = HeaderMap::new();
    let parent = format!("00-{TRACE_ID}-{PARENT_ID}-01");
    headers.insert("traceparent", HeaderValue::from_str(&parent)?);
    let client = IssuerClient::new(Duration::from_secs(20))?;
    let keys: Url = format!("{base}/keys").parse()?;
    let request = async {
        store.read(&Key::new("grant", "unknown")).await?;
        client.get(&keys).await?;
        anyhow::Ok(())
    };
    request.instrument(trace::token_request(&headers)).await?;
    drop(guard);
    tokio::task::spawn_blocking(move || exporter.flush()).await?;
    serving.abort();

    let exported = received.exported.lock().unwrap_or_else(PoisonError::into_inner);
    for name in ["token request", "store", "issuer call", "/keys"] {
        assert!(
            contains(&exported, name.as_bytes()),
            "no {name:?} at the collector"
        );
    }
    assert!(contains(&exported, &bytes_of(TRACE_ID)) && contains(&exported, &bytes_of(PARENT_ID)));
    let traceparent = received
        .traceparent
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let traceparent = traceparent.as_deref().unwrap_or_default();
    assert!(
        traceparent.starts_with(&format!("00-{TRACE_ID}-")),
        "{traceparent:?}"
    );
    assert!(
        !traceparent.contains(PARENT_ID),
        "the issuer's parent is the call's own span"
    );
    Ok(())
}

#[tokio::test]
async fn a_request_without_a_trace_and_without_a_collector_hands_nothing_on() {
    let span = trace::token_request(&HeaderMap::new());
    let mut headers = HeaderMap::new();
    span.in_scope(|| trace::hand_on(&mut headers));
    assert!(headers.is_empty(), "{headers:?}");
}
