//! Points at which a test build aborts as if killed by SIGKILL. Without the feature `failpoints` they do nothing.

/// The environment variable that selects a point: `before:present`.
#[cfg(feature = "failpoints")]
const VARIABLE: &str = "TOKENWARD_FAILPOINT";

/// Does nothing.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn reached(_side: &'static str, _step: &'static str) {}

/// Aborts the process if `TOKENWARD_FAILPOINT` selects this point: `side` (`before` or `after`) of `step`.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(side: &'static str, step: &'static str) {
    static SELECTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let selected = SELECTED.get_or_init(|| std::env::var(VARIABLE).ok());
    if selected
        .as_deref()
        .is_some_and(|selected| selected.split_once(':') == Some((side, step)))
    {
        eprintln!("failpoint {side}:{step}");
        // No destructor runs, no connection is closed gracefully, nothing more is stored.
        std::process::abort();
    }
}
