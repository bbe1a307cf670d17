//! The demo: the whole path in one terminal, told as a story in real time, with promises that are counted.
//!
//! [`start`] brings everything up with ID tokens that live 15 s, [`tell`] plays the story and returns the [`Report`],
//! [`stay_up`] leaves the rest to the person. The binary `tokenward-demo` is no more than these three.

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

/// Plays the story and counts. What goes wrong is in the report: a promise that broke, or an error that ended it early.
pub async fn tell<I: Issuer>(world: &World<I>, screen: &Screen, longest: Duration) -> Report {
    let start = Instant::now();
    let mut ledger = Ledger::default();
    let mut watcher = Watcher::new(world, screen);
    let told = {
        let story = Box::pin(Story::new(world, screen, &mut ledger).tell());
        tokio::select! {
            told = tokio::time::timeout(longest, story) => told,
            never = watcher.watch() => match never {},
        }
    };
    watcher.catch_up();
    let told = told.unwrap_or_else(|_| Err(anyhow!("the story did not end within {} s", longest.as_secs())));
    let report = Report::new(world, ledger, told, start.elapsed()).await;
    report.print(screen);
    report
}
