//! Text wraps between words, at the width of the terminal.

use super::{Look, wrap};

#[test]
fn words_stay_whole_and_lines_stay_within_the_columns() {
    let text =
        "a token of remote-1 at https://issuer.example.com/very/long/path/that/no/line/holds has expired";
    let lines = wrap(text, 24);
    assert_eq!(
        lines,
        [
            "a token of remote-1 at",
            "https://issuer.example.com/very/long/path/that/no/line/holds",
            "has expired"
        ]
    );
}

#[test]
fn an_empty_text_is_one_empty_line() {
    assert_eq!(wrap("", 80), [""]);
}

#[test]
fn a_log_has_a_hundred_columns() {
    assert_eq!(Look::plain().columns, 100);
}
