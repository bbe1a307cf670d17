//! The output: one line per event, and in a terminal a live line while the story waits.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokenward_harness::parts::EnvoyLine;
use tokenward_lab_cli::{Look, wrap};

use super::{Bound, Promise};

#[cfg(test)]
mod tests;

const ACTOR_WIDTH: usize = 27;
/// Columns of an event before its text: time, actor, status and the blanks between.
const EVENT_HEAD: usize = 8 + 1 + ACTOR_WIDTH + 1 + 3 + 2;
/// Columns of a fact before its text.
const FACT_HEAD: usize = 4 + 16 + 1;
/// Columns of a promise before its text: mark, count and the blanks between.
const PROMISE_HEAD: usize = 7 + 1 + 1 + 5 + 2;
/// Columns of a row of counts besides the name of the count.
const ROW_FRAME: usize = 3 + 1 + 1 + 1 + 8;
const LONGEST_ROW_NAME: usize = 62;
/// A terminal that leaves less than this for a text gets longer lines.
const LEAST_TEXT: usize = 24;

const PLAIN: &str = "";
const DIM: &str = "2";
const BOLD: &str = "1";
const CYAN: &str = "36";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

/// The terminal, or the log in its place. Lines carry the time since its creation.
pub struct Screen {
    look: Look,
    start: Instant,
    canvas: Mutex<Canvas>,
}

struct Canvas {
    out: Box<dyn Write + Send>,
    live: Option<String>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Screen")
            .field("look", &self.look)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// A screen that writes to `out`.
    pub fn new(out: impl Write + Send + 'static, look: Look) -> Self {
        let canvas = Canvas {
            out: Box::new(out),
            live: None,
        };
        Self {
            look,
            start: Instant::now(),
            canvas: Mutex::new(canvas),
        }
    }

    /// Whether lines may be redrawn in place.
    pub fn is_live(&self) -> bool {
        self.look.live
    }

    /// The title of everything.
    pub fn title(&self, text: &str, below: &str) {
        self.line("");
        self.block("  ", 2, BOLD, text);
        self.note(below);
        self.line("");
    }

    /// Opens a step: what it shows, and why that matters.
    pub fn heading(&self, number: usize, title: &str, why: &str) {
        self.line("");
        let head = format!("  {} ", self.paint("1;36", &number.to_string()));
        self.block(&head, 4, BOLD, title);
        self.block("    ", 4, DIM, why);
    }

    /// A quiet line.
    pub fn note(&self, text: &str) {
        self.block("  ", 2, DIM, text);
    }

    /// A name and its description.
    pub fn fact(&self, name: &str, text: &str) {
        let head = format!("    {} ", self.paint(CYAN, &format!("{name:<16}")));
        self.block(&head, FACT_HEAD, PLAIN, text);
    }

    /// A command to be copied.
    pub fn command(&self, text: &str) {
        self.line(&format!("      {}", self.paint(BOLD, text)));
    }

    /// One event: the actor, the status of a response, and what happened.
    pub fn event(&self, actor: &str, status: Option<u16>, text: &str) {
        let status = status.map_or_else(|| "   ".to_owned(), |status| status.to_string());
        let style = match status.as_str() {
            "200" => GREEN,
            _ => YELLOW,
        };
        self.timed((CYAN, actor), &self.paint(style, &status), (PLAIN, text));
    }

    /// A log line of the filter: its fields, its sentence below.
    pub fn filter_line(&self, line: &EnvoyLine) {
        let (level, style) = match line.level.as_str() {
            "warning" => ("WARN", YELLOW),
            "info" => ("INFO", GREEN),
            "debug" => ("DEBUG", DIM),
            other => (other, RED),
        };
        let (fields, sentence) = match line.message.split_once(": ") {
            Some((fields, sentence)) => (fields, Some(sentence)),
            None => (line.message.as_str(), None),
        };
        self.timed((style, &format!("gateway log  {level}")), "   ", (style, fields));
        if let Some(sentence) = sentence {
            self.block(&" ".repeat(EVENT_HEAD), EVENT_HEAD, style, sentence);
        }
    }

    /// One promise, met or broken.
    pub fn promise(&self, promise: &Promise) {
        let Promise {
            counted,
            must_be,
            found,
            met,
        } = promise;
        let (mark, style) = if *met { ("✓", GREEN) } else { ("✗", RED) };
        let text = match (met, must_be) {
            (true, Bound::Exactly(_)) => counted.clone(),
            (true, _) => format!("{counted} ({must_be})"),
            (false, _) => format!("{counted} (must be {must_be})"),
        };
        let head = format!("       {} {found:>5}  ", self.paint(style, mark));
        self.block(&head, PROMISE_HEAD, if *met { PLAIN } else { RED }, &text);
    }

    /// One row of the table of counts.
    pub fn row(&self, count: &str, value: &str, good: Option<bool>) {
        let (mark, style) = match good {
            Some(true) => ("✓", GREEN),
            Some(false) => ("✗", RED),
            None => (" ", PLAIN),
        };
        let width = self.room(ROW_FRAME).min(LONGEST_ROW_NAME);
        let lines = wrap(count, width);
        for (number, line) in lines.iter().enumerate() {
            let value = if number + 1 == lines.len() { value } else { "" };
            self.line(&format!(
                "   {} {line:<width$} {}",
                self.paint(style, if number == 0 { mark } else { " " }),
                self.paint(style, &format!("{value:>8}"))
            ));
        }
    }

    /// A table of names and values: the names wrap, the values are aligned to the right.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let values = head.len().saturating_sub(1);
        let width_of = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            cells
                .chain([head[column]])
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (1..=values).map(width_of).collect();
        let taken: usize = 2 + widths.iter().map(|width| width + 2).sum::<usize>();
        let names = self.room(taken).min(width_of(0));
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        for (number, row) in std::iter::once(&head).chain(rows).enumerate() {
            let style = if number == 0 { BOLD } else { PLAIN };
            let lines = wrap(&row[0], names);
            for (at, line) in lines.iter().enumerate() {
                let mut text = format!("{line:<names$}");
                if at + 1 == lines.len() {
                    for (cell, width) in row[1..].iter().zip(&widths) {
                        text += &format!("  {cell:>width$}");
                    }
                }
                self.line(&format!("  {}", self.paint(style, text.trim_end())));
            }
        }
    }

    /// The result, at the end.
    pub fn verdict(&self, good: bool, text: &str) {
        let (mark, style) = if good { ("✓", "1;32") } else { ("✗", "1;31") };
        self.line("");
        self.block("  ", 2, style, &format!("{mark} {text}"));
        self.line("");
    }

    /// Shows in place what the story waits for; only in a terminal.
    pub fn live(&self, text: &str) {
        if !self.look.live {
            return;
        }
        let time = format!("{:>7.1} ", self.start.elapsed().as_secs_f64());
        let room = self.look.columns.saturating_sub(time.chars().count() + 2);
        let text: String = text.chars().take(room).collect();
        let mut canvas = self.canvas();
        canvas.live = Some(format!("{} {}", self.paint(DIM, &time), self.paint(CYAN, &text)));
        canvas.redraw();
    }

    /// Removes the live line.
    pub fn clear_live(&self) {
        let mut canvas = self.canvas();
        canvas.erase();
        canvas.live = None;
    }

    /// One line as it is, above the live line.
    pub fn line(&self, text: &str) {
        let mut canvas = self.canvas();
        canvas.erase();
        // A closed pipe does not stop the story.
        let _ = writeln!(canvas.out, "{}", text.trim_end());
        canvas.redraw();
    }

    fn timed(&self, (style, actor): (&str, &str), status: &str, (text_style, text): (&str, &str)) {
        let time = self.paint(DIM, &format!("{:>7.1} ", self.start.elapsed().as_secs_f64()));
        let actor = self.paint(style, &format!("{actor:<ACTOR_WIDTH$}"));
        self.block(
            &format!("{time} {actor} {status}  "),
            EVENT_HEAD,
            text_style,
            text,
        );
    }

    /// `text` after `head`, which takes `indent` columns; more lines of it are indented as far.
    fn block(&self, head: &str, indent: usize, style: &str, text: &str) {
        let lines = wrap(text, self.room(indent)).into_iter();
        let painted: Vec<_> = lines.map(|line| self.paint(style, &line)).collect();
        let between = format!("\n{:indent$}", "");
        self.line(&format!("{head}{}", painted.join(&between)));
    }

    /// Columns beside `taken` ones.
    fn room(&self, taken: usize) -> usize {
        self.look.columns.saturating_sub(taken).max(LEAST_TEXT)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.look.colour && style != PLAIN && !text.trim().is_empty() {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn canvas(&self) -> MutexGuard<'_, Canvas> {
        self.canvas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Canvas {
    fn erase(&mut self) {
        if self.live.is_some() {
            let _ = write!(self.out, "\r\x1b[2K");
        }
    }

    fn redraw(&mut self) {
        if let Some(text) = &self.live {
            let _ = write!(self.out, "\r\x1b[2K{text}");
        }
        let _ = self.out.flush();
    }
}

/// `━━━━╌╌╌╌`, `width` characters long.
pub(super) fn bar(done: usize, all: usize, width: usize) -> String {
    let filled = (done * width).checked_div(all).unwrap_or(width).min(width);
    format!("{}{}", "━".repeat(filled), "╌".repeat(width - filled))
}
