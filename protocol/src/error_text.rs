//! The characters of an `error_description` (RFC 6749 §5.2, RFC 6750 §3): printable ASCII without `"` and `\\`, which would
//! end or escape the quoted string of a `WWW-Authenticate` challenge.

use std::borrow::Cow;

/// Whether an `error_description` may contain `character`.
#[must_use]
pub const fn is_allowed(character: char) -> bool {
    matches!(character, ' ' | '!' | '#'..='[' | ']'..='~')
}

/// `text` as an `error_description`: `"` becomes `'`, `\\` becomes `/`, any other character that is not allowed `?`.
#[must_use]
pub fn error_text(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_allowed) {
        return Cow::Borrowed(text);
    }
    let replaced = |character| match character {
        '"' => '\'',
        '\\' => '/',
        character if is_allowed(character) => character,
        _ => '?',
    };
    Cow::Owned(text.chars().map(replaced).collect())
}
