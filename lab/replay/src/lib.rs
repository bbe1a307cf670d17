//! The incident, replayed four times: without the filter, as it was; with it; and with an aggregator of today that
//! registers nothing, without and with a relay in front of the issuer.
//!
//! One local and 16 remote servers; an aggregator that stores tokens without an expiry in Valkey and renews nothing, with
//! a listener per session and server that retries every second; ID tokens and exchanged tokens that expire; idle gaps; a
//! grant that dies; a long restart. Time is compressed by [`Pace`]; everything else is real.

mod aggregator;
mod book;
mod column;
mod evidence;
mod half;
mod log_lines;
mod lost_logins;
mod outcome;
mod pace;
mod plot;
mod story;
mod table;

pub use column::Column;
pub use half::{Half, IssuerCalls, Lines, Storm};
pub use outcome::Replay;
pub use pace::Pace;
pub use plot::svg;
pub use table::markdown;

use tokenward_demo::Screen;
use tokenward_harness::issuer::Issuer;

/// Replays one column in a world of its own.
///
/// # Errors
/// When a part is missing on this machine, or ends.
pub async fn one<I: Issuer>(pace: Pace, column: Column, screen: &Screen) -> anyhow::Result<Half> {
    let mut world = Box::pin(pace.stage(column).start_on::<I>()).await?;
    Box::pin(story::play(&mut world, pace, column, screen)).await
}

/// Replays all columns, one after the other.
///
/// # Errors
/// As [`one`].
pub async fn all<I: Issuer>(pace: Pace, screen: &Screen) -> anyhow::Result<Replay> {
    let off = Box::pin(one::<I>(pace, Column::Off, screen)).await?;
    let on = Box::pin(one::<I>(pace, Column::On, screen)).await?;
    let unregistered = Box::pin(one::<I>(pace, Column::Unregistered, screen)).await?;
    let relay = Box::pin(one::<I>(pace, Column::Relay, screen)).await?;
    Ok(Replay::new::<I>(pace, [off, on, unregistered, relay]))
}
