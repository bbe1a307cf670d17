//! Lists of sessions and users, by pages of the store. A page examines a bounded number of keys for a bounded time, whatever
//! the number of records is.

use std::time::Duration;

use tokio::time::Instant;

use super::refusal::{ConsoleRefusal, ConsoleRefused};
use super::view::{SessionRow, UserRow};
use crate::app::Service;
use crate::store::Cursor;

/// A page has at least so many rows, if there are as many.
const ENOUGH_ROWS: usize = 25;
/// The longest search for the rows of a page.
const LONGEST: Duration = Duration::from_millis(1500);

/// A page.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    /// In the order of the store, which is no order that a reader would know.
    pub(crate) rows: Vec<T>,
    /// The start of the next page; `None`: this is the last one.
    pub(crate) next: Option<Cursor>,
}

/// The keys that one call of the store examines: few while they are found, more while none is.
#[derive(Debug)]
pub(super) struct Step(usize);

impl Step {
    const FEWEST: usize = 50;
    const MOST: usize = 5_000;

    pub(super) const fn new() -> Self {
        Self(Self::FEWEST)
    }

    /// The next step after one that found `found` keys.
    pub(super) fn after(self, found: usize) -> Self {
        Self(if found == 0 {
            (self.0 * 2).min(Self::MOST)
        } else {
            Self::FEWEST
        })
    }

    pub(super) const fn keys(&self) -> usize {
        self.0
    }
}

/// Checks a cursor from an address: a position in `kind`, as the store returned it.
///
/// # Errors
/// [`ConsoleRefusal::BadRequest`].
pub(crate) fn cursor(kind: &str, text: Option<&str>) -> Result<Option<Cursor>, ConsoleRefused> {
    const LONGEST_KEY: usize = 200;
    let Some(text) = text else { return Ok(None) };
    let digits =
        |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_scan = text
        .split_once('-')
        .is_some_and(|(slot, cursor)| digits(slot) && digits(cursor));
    let is_key = text
        .split_once(':')
        .is_some_and(|(own, name)| own == kind && !name.is_empty());
    let is_number = kind == "activity" && digits(text);
    if text.len() <= LONGEST_KEY && (is_scan || is_key || is_number) {
        Ok(Some(Cursor(text.to_owned())))
    } else {
        Err(ConsoleRefused::new(
            ConsoleRefusal::BadRequest,
            "the address names no page of this list",
        ))
    }
}

impl Service {
    /// A page of all users' logins.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: the store.
    pub(crate) async fn console_users(
        &self,
        after: Option<Cursor>,
    ) -> Result<Listing<UserRow>, ConsoleRefused> {
        let until = Instant::now() + LONGEST;
        let (mut rows, mut next, mut step) = (Vec::new(), after, Step::new());
        loop {
            let (keys, following) = self.grants.page(next.as_ref(), step.keys()).await?;
            step = step.after(keys.len());
            for key in &keys {
                rows.extend(self.user_row(key).await?);
            }
            next = following;
            if next.is_none() || rows.len() >= ENOUGH_ROWS || Instant::now() >= until {
                return Ok(Listing { rows, next });
            }
        }
    }

    /// A page of all sessions.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: the store.
    pub(crate) async fn console_sessions(
        &self,
        after: Option<Cursor>,
    ) -> Result<Listing<SessionRow>, ConsoleRefused> {
        let until = Instant::now() + LONGEST;
        let (mut rows, mut next, mut step) = (Vec::new(), after, Step::new());
        loop {
            let (keys, following) = self.sessions.page(next.as_ref(), step.keys()).await?;
            step = step.after(keys.len());
            for key in &keys {
                rows.extend(self.session_row(key).await?);
            }
            next = following;
            if next.is_none() || rows.len() >= ENOUGH_ROWS || Instant::now() >= until {
                return Ok(Listing { rows, next });
            }
        }
    }
}
