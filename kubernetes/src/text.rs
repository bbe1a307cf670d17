//! Texts for the API server, whose lengths it limits.

/// The longest `note` of an Event, in bytes.
pub(crate) const MAX_NOTE_BYTES: usize = 1000;

/// The beginning of `text` that fits into `limit` bytes.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub("…".len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
