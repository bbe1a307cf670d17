//! Text wraps between words at the width of the terminal.

use std::io::Write;
use std::sync::{Arc, Mutex};

use tokenward_lab_cli::Look;

use super::Screen;
use crate::{Bound, Promise};

const COLUMNS: usize = 80;

/// What was written to a screen.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_line_fits_and_every_word_stays_whole() {
    let paper = Paper::default();
    let look = Look {
        columns: COLUMNS,
        ..Look::plain()
    };
    let screen = Screen::new(paper.clone(), look);
    let words = "a sentence with some words of usual length that fills more than one line of the terminal";
    screen.title(words, words);
    screen.heading(1, words, words);
    screen.fact("gateway", words);
    screen.event("alice → gateway → remote-1", Some(200), words);
    screen.promise(&Promise {
        counted: words.to_owned(),
        must_be: Bound::AtMost(3),
        found: 2,
        met: true,
    });
    screen.row(words, "12345", Some(true));
    screen.table(
        &["counted", "off"],
        &[vec![words.to_owned(), "12,345".to_owned()]],
    );
    screen.verdict(false, words);
    let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{line}");
    }
    // Nine blocks of the same words, each wrapped somewhere.
    for word in words.split(' ') {
        let found = text.split_whitespace().filter(|other| *other == word).count();
        assert!(found >= 9, "{word} is broken: {text}");
    }
}
