//! Text from outside, safe to log.

/// A `kid`, `alg` or similar value for a response or a log line: a client can write any text there. At most 64 characters;
/// all but letters, digits and `-_.~:/+=` become `?`.
#[must_use]
pub fn loggable(text: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_.~:/+=".contains(letter) {
            letter
        } else {
            '?'
        }
    };
    let mut shown: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
