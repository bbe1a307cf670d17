//! Text of strangers, as a page shows it.

use crate::authorization::client::shown_name;

/// The longest text of a stranger on a page, in characters.
const LONGEST: usize = 100;

/// `text` without control characters, direction changes and invisible letters, cut at [`LONGEST`] characters.
pub(in crate::http) fn shown(text: &str) -> String {
    cut(text, LONGEST)
}

/// The same, cut at `longest` characters.
pub(in crate::http) fn cut(text: &str, longest: usize) -> String {
    let beginning: String = text.chars().take(longest).collect();
    let mut shown = with_few_marks(&shown_name(&beginning).unwrap_or_default());
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}

/// At most two combining marks in a row: more of them cover the lines around.
fn with_few_marks(text: &str) -> String {
    let mut marks = 0;
    let is_mark = |letter: char| {
        matches!(letter, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
    };
    text.chars()
        .filter(|letter| {
            marks = if is_mark(*letter) { marks + 1 } else { 0 };
            marks <= 2
        })
        .collect()
}

#[cfg(test)]
mod tests;
