//! Durations and states in words.

/// `in 4 min 3 s`, `41 s ago`.
pub(super) fn left(seconds: i64) -> String {
    if seconds < 0 {
        format!("expired {} ago", span(seconds.unsigned_abs()))
    } else {
        format!("{} left", span(seconds.unsigned_abs()))
    }
}

/// `41 s ago`.
pub(super) fn ago(seconds: u64) -> String {
    format!("{} ago", span(seconds))
}

/// The two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if days > 0 {
        format!("{days} d {} h", hours % 24)
    } else if hours > 0 {
        format!("{hours} h {} min", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else {
        format!("{seconds} s")
    }
}

/// A state or refusal as a person reads it: `needs_login` is `needs login`.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// The tone of a state: `good`, `warn`, `bad` or `none`.
pub(super) fn tone(name: &str) -> &'static str {
    match name {
        "active" | "serve" | "forward" | "answered" => "good",
        "suspect" | "refresh" | "exchange" | "refresh_and_exchange" => "warn",
        "needs_login" | "unreadable" | "refuse" | "failed" | "not_oauth" => "bad",
        _ => "none",
    }
}

#[cfg(test)]
mod tests;
