//! Promises and whether they were met. A promise is a bound on a counted number.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Storm;

#[cfg(test)]
mod tests;

/// What a count must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// This number.
    Exactly(usize),
    /// This number or less.
    AtMost(usize),
    /// This number or more.
    AtLeast(usize),
}

impl Bound {
    /// Whether `found` is within it.
    pub fn holds(self, found: usize) -> bool {
        match self {
            Self::Exactly(number) => found == number,
            Self::AtMost(number) => found <= number,
            Self::AtLeast(number) => found >= number,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(number) => write!(formatter, "exactly {number}"),
            Self::AtMost(number) => write!(formatter, "at most {number}"),
            Self::AtLeast(number) => write!(formatter, "at least {number}"),
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One promise and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// What is counted.
    pub counted: String,
    /// What it must be.
    pub must_be: Bound,
    /// What it was.
    pub found: usize,
    /// Whether the bound holds.
    pub met: bool,
}

/// One part of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it shows.
    pub title: String,
    /// Whether it ran to its end and every promise was met.
    pub passed: bool,
    /// Its promises.
    pub promises: Vec<Promise>,
}

/// What the story records while it runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) steps: Vec<Step>,
    /// Calls that a server answered with 200, seen by the callers.
    pub(super) passed: usize,
    /// Calls that the gateway refused, seen by the callers.
    pub(super) refused: usize,
    pub(super) storm: Storm,
}

impl Ledger {
    /// Opens the next step; returns its number, from 1.
    pub(super) fn open(&mut self, title: &str) -> usize {
        self.steps.push(Step {
            title: title.to_owned(),
            passed: false,
            promises: Vec::new(),
        });
        self.steps.len()
    }

    /// Records a promise of the open step.
    pub(super) fn promise(&mut self, counted: &str, must_be: Bound, found: usize) -> Promise {
        let promise = Promise {
            counted: counted.to_owned(),
            must_be,
            found,
            met: must_be.holds(found),
        };
        if let Some(step) = self.steps.last_mut() {
            step.promises.push(promise.clone());
        }
        promise
    }

    /// The open step ran to its end.
    pub(super) fn close(&mut self) {
        if let Some(step) = self.steps.last_mut() {
            step.passed = !step.promises.is_empty() && step.promises.iter().all(|promise| promise.met);
        }
    }
}
