//! Export of spans to an OpenTelemetry collector, by the environment variables of its specification:
//! `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` turns it on.

use async_trait::async_trait;
use http::{HeaderMap, Request, Response};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Either of them names the collector.
const ENDPOINT_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Whether the environment names a collector.
fn is_configured() -> bool {
    let is_named = |name: &&str| std::env::var(name).is_ok_and(|endpoint| !endpoint.is_empty());
    ENDPOINT_VARIABLES.iter().any(is_named)
}

/// Exports spans, in batches.
#[derive(Debug, Clone)]
pub(crate) struct Exporter(SdkTracerProvider);

/// No spans can be exported.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}; check OTEL_EXPORTER_OTLP_ENDPOINT")]
pub(crate) struct ExporterUnusable(String);

impl Exporter {
    /// An exporter to the collector of the environment, if it names one. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ExporterUnusable`].
    pub(crate) fn of_environment() -> Result<Option<Self>, ExporterUnusable> {
        if !is_configured() {
            return Ok(None);
        }
        Self::new(|collector| {
            SpanExporter::builder()
                .with_http()
                .with_http_client(collector)
                .build()
        })
        .map(Some)
    }

    fn new(
        exporter: impl FnOnce(Collector) -> Result<SpanExporter, ExporterBuildError>,
    ) -> Result<Self, ExporterUnusable> {
        let unusable = |error: &dyn std::fmt::Display| ExporterUnusable(error.to_string());
        let http = reqwest::Client::builder().no_proxy().build();
        let collector = Collector {
            http: http.map_err(|error| unusable(&error))?,
            runtime: tokio::runtime::Handle::try_current().map_err(|error| unusable(&error))?,
        };
        let exporter = exporter(collector).map_err(|error| unusable(&error))?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(Resource::builder().with_service_name("tokenward").build())
            .build();
        Ok(Self(provider))
    }

    /// The layer that collects spans.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let targets = Targets::new().with_target(super::TARGET, LevelFilter::TRACE);
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("tokenward"))
            .with_filter(targets)
    }

    /// Exports what was collected so far. Blocks until the collector has answered, or five seconds.
    pub(crate) fn flush(&self) {
        if let Err(error) = self.0.force_flush() {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// The way to the collector. Batches are made by a thread without a runtime, and sent by the process's own.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let response = http.execute(request).await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        });
        let (status, body) = sent.await??;
        Ok(Response::builder().status(status).body(body)?)
    }
}

/// Makes `span` a part of the trace that `headers` name.
pub(super) fn continue_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    // A span that nothing collects has no place for it.
    let _ = span.set_parent(context);
}

/// Adds `traceparent` of the present span.
pub(super) fn hand_on(headers: &mut HeaderMap) {
    let context = Span::current().context();
    TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
}

#[cfg(test)]
mod tests;
