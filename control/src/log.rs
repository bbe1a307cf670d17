//! Logging: JSON or text, one line at the boundary, and at most one warning a minute for the same trouble.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokenward_protocol::duration::whole_ms;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Starts logging to standard error. `RUST_LOG` chooses levels; without it INFO and above.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_ansi(false).try_init(),
    };
}

/// At most one warning a minute per trouble; counts what it keeps back.
#[derive(Debug)]
pub struct Throttle {
    every_ms: u64,
    troubles: Mutex<HashMap<String, Trouble>>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    warned_at_ms: u64,
    seen_at_ms: u64,
    suppressed: u64,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A warning, with how many were kept back since the last.
    Warn {
        /// Kept back.
        suppressed: u64,
    },
    /// A debug line.
    Debug,
}

/// Troubles remembered at most; beyond that the oldest are forgotten, which costs a warning too many.
const MOST_TROUBLES: usize = 8192;

impl Throttle {
    /// One warning per `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every_ms: whole_ms(every),
            troubles: Mutex::default(),
        }
    }

    /// The same trouble again at `now_ms`.
    #[must_use]
    pub fn failed(&self, trouble: &str, now_ms: u64) -> Line {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = troubles.get_mut(trouble) {
            known.seen_at_ms = now_ms;
            if now_ms < known.warned_at_ms.saturating_add(self.every_ms) {
                known.suppressed += 1;
                return Line::Debug;
            }
            let suppressed = std::mem::take(&mut known.suppressed);
            known.warned_at_ms = now_ms;
            return Line::Warn { suppressed };
        }
        if troubles.len() >= MOST_TROUBLES {
            let every_ms = self.every_ms;
            troubles.retain(|_, known| now_ms < known.seen_at_ms.saturating_add(every_ms));
            if troubles.len() >= MOST_TROUBLES {
                troubles.clear();
            }
        }
        troubles.insert(
            trouble.to_owned(),
            Trouble {
                warned_at_ms: now_ms,
                seen_at_ms: now_ms,
                suppressed: 0,
            },
        );
        Line::Warn { suppressed: 0 }
    }

    /// Whether there is no trouble at all: nothing can have recovered.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.troubles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The trouble is over: how many warnings were kept back, if there was any trouble.
    #[must_use]
    pub fn recovered(&self, trouble: &str) -> Option<u64> {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.remove(trouble).map(|known| known.suppressed)
    }
}
