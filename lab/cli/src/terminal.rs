//! The terminal at standard output: how wide it is, and what it can show.

use std::io::{IsTerminal as _, stdout};

use textwrap::{Options, WordSeparator, WordSplitter};

#[cfg(test)]
mod tests;

/// Width of a log, and of a terminal that does not report its own.
const USUAL_COLUMNS: usize = 100;

/// How output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether a line may be redrawn in place.
    pub live: bool,
    /// Whether there are colours.
    pub colour: bool,
    /// Columns into which text is wrapped.
    pub columns: usize,
}

impl Look {
    /// Plain lines of 100 columns, as in a log.
    pub fn plain() -> Self {
        Self {
            live: false,
            colour: false,
            columns: USUAL_COLUMNS,
        }
    }

    /// What standard output can show: live in a terminal, plain in a pipe, with `CI=true` and with `TERM=dumb`;
    /// `NO_COLOR` removes the colours.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "false");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !stdout().is_terminal() || set("CI") || dumb {
            return Self::plain();
        }
        Self {
            live: true,
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            columns: rustix::termios::tcgetwinsize(stdout())
                .map(|size| usize::from(size.ws_col))
                .ok()
                .filter(|columns| *columns > 0)
                .unwrap_or(USUAL_COLUMNS),
        }
    }
}

/// Breaks `text` into lines of at most `columns` characters, between words only: a longer word has a line of its own.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let options = Options::new(columns)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let lines = textwrap::wrap(text, options).into_iter();
    lines.map(std::borrow::Cow::into_owned).collect()
}
