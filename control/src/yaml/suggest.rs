//! "Did you mean": the known name that a mistyped one is nearest to.

/// The one of `known` that `name` was probably intended to be.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['_', '-', ' '], "");
    let written = plain(name);
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&written, &plain(known)), *known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
