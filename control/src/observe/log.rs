//! Logging to standard error, as JSON or text.

use tracing_subscriber::EnvFilter;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Plain text, for a terminal.
    Text,
}

/// What a process logs, and with the feature `otlp` what it exports.
#[derive(Debug)]
pub struct Logging {
    #[cfg(feature = "otlp")]
    exporter: Option<super::trace::otlp::Exporter>,
}

/// Starts logging to standard error, at the levels of `RUST_LOG` (INFO and above by default), and with the feature `otlp` the
/// export of traces, if the environment names a collector. With that feature it needs a tokio runtime.
pub fn start(format: LogFormat) -> Logging {
    // kube_client warns of every connection that an API server drops; the watches log what matters of that.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube_client=error"));
    started(format, filter)
}

#[cfg(not(feature = "otlp"))]
fn started(format: LogFormat, filter: EnvFilter) -> Logging {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call in one process (tests) has no effect.
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(false).try_init(),
    };
    Logging {}
}

#[cfg(feature = "otlp")]
fn started(format: LogFormat, filter: EnvFilter) -> Logging {
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;

    let exporter = super::trace::otlp::Exporter::of_environment();
    let spans = exporter.as_ref().ok().and_then(Option::as_ref);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
    };
    let layers = tracing_subscriber::registry()
        .with(spans.map(super::trace::otlp::Exporter::layer))
        .with(lines);
    // A second call in one process (tests) has no effect.
    let _ = layers.try_init();
    if let Err(error) = &exporter {
        tracing::error!(%error, "starting without the export of traces");
    }
    Logging {
        exporter: exporter.ok().flatten(),
    }
}

impl Logging {
    /// Exports what was collected last. Blocks for five seconds at most.
    pub fn flush(&self) {
        #[cfg(feature = "otlp")]
        if let Some(exporter) = &self.exporter {
            exporter.flush();
        }
    }
}
