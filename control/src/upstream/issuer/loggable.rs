//! Text from outside, safe to log.

/// A `kid` or `alg` as it may stand in an answer or a log line: a client can write anything there.
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
