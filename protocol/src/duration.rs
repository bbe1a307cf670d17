//! Durations as both configurations write them: `500ms`, `60s`, `5m`, `168h`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::json::quote;

/// The longest duration that a configuration may have: ten years. Anything longer is a typing mistake.
const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "bad duration {}: write a whole number and a unit of ms, s, m or h, as in \"60s\" (at most 10 years)",
    quote(text)
)]
pub struct BadDuration {
    text: String,
}

/// Parses a duration: decimal digits and one unit of `ms`, `s`, `m`, `h`.
///
/// # Errors
/// [`BadDuration`] for anything else, including signs, fractions, blanks and missing units.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration {
        text: text.chars().take(40).collect(),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(bad()),
    };
    let span = Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(bad)?);
    if span > MAX { Err(bad()) } else { Ok(span) }
}

/// For `#[serde(deserialize_with = "…")]`: a duration written as text.
///
/// # Errors
/// The deserializer's own error with the message of [`BadDuration`].
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// A duration in whole milliseconds; saturates, which the limit of [`parse_duration`] makes unreachable.
#[must_use]
pub fn whole_ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
