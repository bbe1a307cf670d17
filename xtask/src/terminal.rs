//! What a person sees: a live line per step in a terminal, plain lines in a log.

use std::io::{Write, stdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokenward_lab_cli::{Look, wrap};

const FRAMES: [char; 8] = ['⣷', '⣯', '⣟', '⡿', '⢿', '⣻', '⣽', '⣾'];
const FRAME_TIME: Duration = Duration::from_millis(90);
/// How often a plain log says that a long step is still going.
const HEARTBEAT: Duration = Duration::from_secs(15);
const BAR_WIDTH: u64 = 20;
const NAME_WIDTH: usize = 22;
/// Columns of a live line before its activity: mark, name, time and the blanks between; one is left free at the end.
const LINE_HEAD: usize = 4 + NAME_WIDTH + 1 + 8 + 1 + 1;
/// Columns of an ended step before its detail: mark, name, word, time and the blanks between.
const OUTCOME_HEAD: usize = 4 + NAME_WIDTH + 1 + 8 + 1 + 8 + 1;
/// A terminal that leaves less than this beside the head gets longer lines.
const LEAST_TEXT: usize = 24;

/// The terminal, or the log that stands in for one.
#[derive(Debug)]
pub(crate) struct Terminal {
    live: bool,
    colour: bool,
    columns: usize,
}

/// How a step ended, for its one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What happened: `there`, `fetched`, `built`, `skipped` …
    pub(crate) word: &'static str,
    /// One short sentence about it.
    pub(crate) detail: String,
}

impl Outcome {
    pub(crate) fn new(word: &'static str, detail: impl Into<String>) -> Self {
        Self {
            word,
            detail: detail.into(),
        }
    }

    pub(crate) fn skipped(detail: impl Into<String>) -> Self {
        Self::new("skipped", detail)
    }
}

/// A running step; what it does right now is shown next to its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    activity: Arc<Mutex<String>>,
    live: bool,
}

impl Step {
    /// Says what the step does right now.
    pub(crate) fn now(&self, activity: impl Into<String>) {
        *self.activity.lock().unwrap_or_else(PoisonError::into_inner) = activity.into();
    }

    /// Whether a person watches; cargo then reports its progress in numbers.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    fn activity(&self) -> String {
        self.activity
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Terminal {
    /// Live when standard output is a terminal; plain in a pipe, with `CI=true` and with `TERM=dumb`.
    pub(crate) fn detect() -> Self {
        let Look {
            live,
            colour,
            columns,
        } = Look::of_stdout();
        Self {
            live,
            colour,
            columns,
        }
    }

    /// Whether the output of child programs should be coloured.
    pub(crate) fn is_coloured(&self) -> bool {
        self.colour
    }

    /// A line that opens a group of steps.
    pub(crate) fn heading(&self, text: &str) {
        println!("{}", self.paint("1", text));
    }

    /// A plain line under the steps.
    pub(crate) fn note(&self, text: &str) {
        for line in self.wrapped(text, 2) {
            println!("  {}", self.paint("2", &line));
        }
    }

    /// The last word of a command that failed.
    pub(crate) fn failure(&self, text: &str) {
        eprintln!("{} {text}", self.paint("1;31", "error:"));
    }

    /// Runs one step and prints one line about it: how it ended, and how long it took.
    pub(crate) fn step(&self, name: &str, work: impl FnOnce(&Step) -> Result<Outcome>) -> Result<()> {
        let step = Step {
            live: self.live,
            ..Step::default()
        };
        let start = Instant::now();
        let outcome = std::thread::scope(|scope| {
            let (done, waiting) = channel::<()>();
            scope.spawn(|| self.watch(name, &step, start, waiting));
            let outcome = work(&step);
            drop(done);
            outcome
        });
        self.print_outcome(name, &outcome, start.elapsed());
        outcome.map(drop)
    }

    fn print_outcome(&self, name: &str, outcome: &Result<Outcome>, took: Duration) {
        let clear = if self.live { "\r\x1b[2K" } else { "" };
        let took = shown_duration(took);
        match outcome {
            Ok(Outcome { word, detail }) => {
                let (mark, style) = if *word == "skipped" {
                    ("-", "33")
                } else {
                    ("✓", "32")
                };
                let (mark, word) = (self.paint(style, mark), self.paint(style, &format!("{word:<8}")));
                let mut lines = self.wrapped(detail, OUTCOME_HEAD).into_iter();
                println!(
                    "{clear}  {mark} {name:<NAME_WIDTH$} {word} {} {}",
                    self.paint("2", &format!("{took:>8}")),
                    lines.next().unwrap_or_default()
                );
                for line in lines {
                    println!("{:OUTCOME_HEAD$}{line}", "");
                }
            }
            Err(_) => {
                let (mark, word) = (self.paint("31", "✗"), self.paint("31", "failed  "));
                println!(
                    "{clear}  {mark} {name:<NAME_WIDTH$} {word} {}",
                    self.paint("2", &format!("{took:>8}"))
                );
            }
        }
    }

    // By value: the receiver must be gone when the watcher is.
    #[allow(clippy::needless_pass_by_value)]
    fn watch(&self, name: &str, step: &Step, start: Instant, done: Receiver<()>) {
        let pause = if self.live { FRAME_TIME } else { HEARTBEAT };
        let mut frames = FRAMES.iter().cycle();
        while done.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let took = shown_duration(start.elapsed());
            let activity = step.activity();
            if self.live {
                let frame = frames.next().unwrap_or(&' ').to_string();
                let tail = self.paint(
                    "2",
                    &shortened(&with_bar(&activity), self.columns.saturating_sub(LINE_HEAD)),
                );
                print!(
                    "\r\x1b[2K  {} {name:<NAME_WIDTH$} {took:>8} {tail}",
                    self.paint("36", &frame)
                );
                // A terminal that went away is no reason to stop the work.
                drop(stdout().flush());
            } else {
                println!("  . {name}: still going after {took}  {activity}");
            }
        }
    }

    /// `text` in lines that fit beside `indent` columns.
    fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        wrap(text, self.columns.saturating_sub(indent).max(LEAST_TEXT))
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `12/100: tokio` becomes a bar; everything else stays as it is.
fn with_bar(activity: &str) -> String {
    let bar = || {
        let (counts, what) = activity.split_once(": ")?;
        let (done, all) = counts.split_once('/')?;
        let (done, all) = (done.parse::<u64>().ok()?, all.parse::<u64>().ok()?);
        let filled = (done * BAR_WIDTH).checked_div(all)?.min(BAR_WIDTH);
        let (full, empty) = (
            "━".repeat(filled as usize),
            "┄".repeat((BAR_WIDTH - filled) as usize),
        );
        Some(format!("{full}{empty} {counts} {what}"))
    };
    bar().unwrap_or_else(|| activity.to_owned())
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars()
        .take(longest.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// `0.4 s`, `38.2 s`, `2 min 05 s`.
pub(crate) fn shown_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}
