//! The incident, replayed twice: first without the filter, as it was; then with it.
//!
//! One local and 16 remote servers; an aggregator that stores tokens without an expiry in Valkey and renews nothing, with
//! a listener per session and server that retries every second; ID tokens and exchanged tokens that expire; idle gaps; a
//! grant that dies; a long restart. Time is compressed by [`Pace`]; everything else is real.

mod aggregator;
mod book;
mod evidence;
mod half;
mod log_lines;
mod outcome;
mod pace;
mod plot;
mod story;
mod table;

pub use half::{Half, IssuerCalls, Lines, Storm};
pub use outcome::Replay;
pub use pace::Pace;
pub use plot::svg;
pub use table::markdown;

use tokenward_demo::Screen;
use tokenward_harness::issuer::Issuer;

/// Replays one half in a world of its own.
///
/// # Errors
/// When a part is missing on this machine, or ends.
pub async fn half<I: Issuer>(pace: Pace, filter_on: bool, screen: &Screen) -> anyhow::Result<Half> {
    let mut world = Box::pin(pace.stage(filter_on).start_on::<I>()).await?;
    Box::pin(story::play(&mut world, pace, filter_on, screen)).await
}

/// Replays both halves, one after the other: first off, then on.
///
/// # Errors
/// As [`half`].
pub async fn both<I: Issuer>(pace: Pace, screen: &Screen) -> anyhow::Result<Replay> {
    let off = Box::pin(half::<I>(pace, false, screen)).await?;
    let on = Box::pin(half::<I>(pace, true, screen)).await?;
    Ok(Replay::new::<I>(pace, off, on))
}
