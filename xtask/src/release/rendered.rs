//! What rendered resources name by digest.

use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// The SHA-256 digests that the resources name as such: in `image: …@sha256:X`, `sha256: X`, `?sha256=X`.
///
/// Checksums of configurations stand under other names and are not among them.
pub(super) fn digests_in(resources: &str) -> BTreeSet<String> {
    resources
        .match_indices("sha256")
        .filter_map(|(at, word)| {
            let rest = resources[at + word.len()..].trim_start_matches([':', '=', ' ', '"', '\'']);
            let digits: String = rest
                .chars()
                .take_while(|letter| letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase())
                .collect();
            (digits.len() == DIGITS).then_some(digits)
        })
        .collect()
}

/// The images that containers run, without quotes.
pub(super) fn container_images(resources: &str) -> Vec<&str> {
    resources
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("image: "))
        .map(|image| image.trim().trim_matches('"'))
        .collect()
}
