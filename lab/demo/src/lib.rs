//! The demo: the whole path in one terminal, as a story in real time, with promises about counted numbers.
//!
//! [`start`] brings everything up with ID tokens that live 15 s, [`play`] plays the story and returns the [`Report`],
//! [`stay_up`] leaves everything running for calls by hand. The binary `tokenward-demo` runs these three.

mod client;
mod ledger;
mod report;
mod screen;
mod setting;
mod stay;
mod storm;
mod story;
mod telling;
mod watcher;

pub use ledger::{Bound, Promise, Step};
pub use report::Report;
pub use screen::Screen;
pub use setting::{stage, start};
pub use stay::stay_up;
pub use storm::Storm;

use std::time::{Duration, Instant};

use anyhow::anyhow;

use ledger::Ledger;
use telling::Story;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::World;
use watcher::Watcher;

/// Plays the story and counts. The report contains what went wrong: broken promises, and an error that ended it early.
pub async fn play<I: Issuer>(world: &World<I>, screen: &Screen, longest: Duration) -> Report {
    let start = Instant::now();
    let mut ledger = Ledger::default();
    let mut watcher = Watcher::new(world, screen);
    let outcome = {
        let story = Box::pin(Story::new(world, screen, &mut ledger).play());
        tokio::select! {
            outcome = tokio::time::timeout(longest, story) => outcome,
            never = watcher.watch() => match never {},
        }
    };
    watcher.catch_up();
    let outcome =
        outcome.unwrap_or_else(|_| Err(anyhow!("the story did not end within {} s", longest.as_secs())));
    let report = Report::new(world, ledger, outcome, start.elapsed()).await;
    report.print(screen);
    report
}
