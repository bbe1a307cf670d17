//! Places at which a test build can be made to die as under SIGKILL. Without the feature `failpoints` this is nothing.

/// The variable of the environment that names the place: `before:present`.
#[cfg(feature = "failpoints")]
pub const VARIABLE: &str = "TOKENWARD_FAILPOINT";

/// The attempt has come to `place`.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn reached(_side: &'static str, _place: &'static str) {}

/// The attempt has come to `place`: dies there if it is the chosen one.
#[cfg(feature = "failpoints")]
pub(crate) fn reached(side: &'static str, place: &'static str) {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok());
    if chosen
        .as_deref()
        .is_some_and(|chosen| chosen.split_once(':') == Some((side, place)))
    {
        eprintln!("failpoint {side}:{place}");
        // No destructor runs, no connection is closed in order, nothing is written any more.
        std::process::abort();
    }
}
