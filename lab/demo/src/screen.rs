//! What a person sees: one line per event, a live line while something is awaited; plain lines where nobody watches.

use std::io::{IsTerminal as _, Write, stdout};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Bound, Promise};
use tokenward_harness::parts::EnvoyLine;

const ACTOR_WIDTH: usize = 27;
const USUAL_COLUMNS: usize = 80;

const DIM: &str = "2";
const BOLD: &str = "1";
const CYAN: &str = "36";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

/// How a screen looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether a line may be redrawn in place.
    pub live: bool,
    /// Whether there are colours.
    pub colour: bool,
    /// Width of the terminal.
    pub columns: usize,
}

impl Look {
    /// Plain lines, as in a log.
    pub fn plain() -> Self {
        Self {
            live: false,
            colour: false,
            columns: USUAL_COLUMNS,
        }
    }

    /// What standard output can do: live in a terminal, plain in a pipe, with `CI=true` and with `TERM=dumb`;
    /// `NO_COLOR` takes the colours away.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "false");
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !stdout().is_terminal() || set("CI") || dumb {
            return Self::plain();
        }
        Self {
            live: true,
            colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            columns: columns_of_terminal().unwrap_or(USUAL_COLUMNS),
        }
    }
}

/// The terminal, or whatever stands in for one. Lines carry the time since it was made.
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

    /// Whether a person watches.
    pub fn is_live(&self) -> bool {
        self.look.live
    }

    /// The title of everything.
    pub fn title(&self, text: &str, below: &str) {
        self.line("");
        self.line(&format!("  {}", self.paint(BOLD, text)));
        self.note(below);
        self.line("");
    }

    /// Opens a step: what it shows, and why that matters.
    pub fn heading(&self, number: usize, title: &str, why: &str) {
        self.line("");
        self.line(&format!(
            "  {} {}",
            self.paint("1;36", &format!("{number}")),
            self.paint(BOLD, title)
        ));
        self.note(&format!("  {why}"));
    }

    /// A quiet line.
    pub fn note(&self, text: &str) {
        self.line(&format!("  {}", self.paint(DIM, text)));
    }

    /// A name and what is to be said of it.
    pub fn fact(&self, name: &str, text: &str) {
        self.line(&format!(
            "    {} {text}",
            self.paint(CYAN, &format!("{name:<16}"))
        ));
    }

    /// A command to be copied.
    pub fn command(&self, text: &str) {
        self.line(&format!("      {}", self.paint(BOLD, text)));
    }

    /// One event: who, the status where there is one, and what happened.
    pub fn event(&self, actor: &str, status: Option<u16>, text: &str) {
        let status = status.map_or_else(|| "   ".to_owned(), |status| status.to_string());
        let style = match status.as_str() {
            "200" => GREEN,
            _ => YELLOW,
        };
        self.timed(CYAN, actor, &self.paint(style, &status), text);
    }

    /// A line of the filter as it came, its sentence below.
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
        self.timed(
            style,
            &format!("gateway log  {level}"),
            "   ",
            &self.paint(style, fields),
        );
        if let Some(sentence) = sentence {
            let indent = " ".repeat(9 + ACTOR_WIDTH + 6);
            self.line(&format!("{indent}{}", self.paint(style, sentence)));
        }
    }

    /// One promise, kept or broken.
    pub fn promise(&self, promise: &Promise) {
        let Promise {
            counted,
            must_be,
            found,
            kept,
        } = promise;
        let (mark, style) = if *kept { ("✓", GREEN) } else { ("✗", RED) };
        let rest = match (kept, must_be) {
            (true, Bound::Exactly(_)) => String::new(),
            (true, _) => self.paint(DIM, &format!("({must_be})")),
            (false, _) => self.paint(RED, &format!("(must be {must_be})")),
        };
        self.line(&format!(
            "       {} {found:>5}  {counted} {rest}",
            self.paint(style, mark)
        ));
    }

    /// One row of the table of counts.
    pub fn row(&self, count: &str, value: &str, good: Option<bool>) {
        let (mark, style) = match good {
            Some(true) => ("✓", GREEN),
            Some(false) => ("✗", RED),
            None => (" ", "0"),
        };
        self.line(&format!(
            "   {} {count:<62} {}",
            self.paint(style, mark),
            self.paint(style, &format!("{value:>8}"))
        ));
    }

    /// The last word.
    pub fn verdict(&self, good: bool, text: &str) {
        let (mark, style) = if good { ("✓", "1;32") } else { ("✗", "1;31") };
        self.line("");
        self.line(&format!("  {}", self.paint(style, &format!("{mark} {text}"))));
        self.line("");
    }

    /// Shows what is awaited, in place; nothing where nobody watches.
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

    /// Takes the live line away.
    pub fn clear_live(&self) {
        let mut canvas = self.canvas();
        canvas.erase();
        canvas.live = None;
    }

    /// One line as it is, above the live line.
    pub fn line(&self, text: &str) {
        let mut canvas = self.canvas();
        canvas.erase();
        // Nobody to read it any more is no reason to stop the story.
        let _ = writeln!(canvas.out, "{}", text.trim_end());
        canvas.redraw();
    }

    fn timed(&self, style: &str, actor: &str, status: &str, text: &str) {
        let time = self.paint(DIM, &format!("{:>7.1} ", self.start.elapsed().as_secs_f64()));
        let actor = self.paint(style, &format!("{actor:<ACTOR_WIDTH$}"));
        self.line(&format!("{time} {actor} {status}  {text}"));
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.look.colour && !text.trim().is_empty() {
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

/// How wide the terminal is, from `stty size` (`rows columns`): a live line that wraps cannot be redrawn.
fn columns_of_terminal() -> Option<usize> {
    let terminal = std::fs::File::open("/dev/tty").ok()?;
    let run = Command::new("stty")
        .arg("size")
        .stdin(terminal)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let size = String::from_utf8(run.stdout).ok()?;
    let columns = size.split_whitespace().nth(1)?.parse().ok()?;
    (columns > 0).then_some(columns)
}
