//! Search. A session handle, a whole name and the digest of a pair cost a few reads. Anything else is looked for in the
//! records, for a bounded time per request; the answer states how many were examined and where to go on.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

use super::listing::Step;
use super::refusal::ConsoleRefused;
use super::view::{SessionRow, UserRow};
use crate::activity::PairRecord;
use crate::activity::pair::is_pair_digest;
use crate::app::Service;
use crate::console::identity::UserIdentity;
use crate::console::search::{SearchTerm, normal};
use crate::session::SessionKey;
use crate::store::Cursor;

/// The longest look through the records in one request.
const LONGEST: Duration = Duration::from_millis(1500);
/// Rows that are shown.
const MOST_ROWS: usize = 50;

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Sessions.
    pub(crate) sessions: Vec<SessionRow>,
    /// Users' logins.
    pub(crate) users: Vec<UserRow>,
    /// The pair with this digest.
    pub(crate) pair: Option<PairRecord>,
    /// The look through all records, if it was made.
    pub(crate) scan: Option<Scan>,
}

/// A look through the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Records that this request examined.
    pub(crate) examined: usize,
    /// Where the next request goes on; `None`: all were examined.
    pub(crate) next: Option<Cursor>,
}

/// Where a search begins.
#[derive(Debug, Clone)]
pub(crate) enum SearchStart {
    /// By indexes; through the records only if they find nothing.
    Indexes,
    /// Through the records, from their beginning.
    Records,
    /// Through the records, from here.
    At(Cursor),
}

impl Found {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.users.is_empty() && self.pair.is_none()
    }
}

impl Service {
    /// Searches for `term`.
    ///
    /// # Errors
    /// [`ConsoleRefused`]: the store.
    pub(crate) async fn console_search(
        &self,
        term: &SearchTerm,
        start: SearchStart,
    ) -> Result<Found, ConsoleRefused> {
        let mut found = Found::default();
        let cursor = match start {
            SearchStart::Indexes => {
                self.search_indexes(term, &mut found).await?;
                if !found.is_empty() {
                    return Ok(found);
                }
                None
            }
            SearchStart::Records => None,
            SearchStart::At(cursor) => Some(cursor),
        };
        let scan = match term.digest() {
            Some(digest) => self.search_sessions(&digest, cursor, &mut found).await?,
            None => self.search_users(&term.name(), cursor, &mut found).await?,
        };
        found.scan = Some(scan);
        Ok(found)
    }

    /// Takes the term as a session handle, as a whole digest, as a pair's digest and as a whole name.
    async fn search_indexes(&self, term: &SearchTerm, found: &mut Found) -> Result<(), ConsoleRefused> {
        let handle = SessionKey::of_id(&SecretString::from(term.as_str()));
        let digest = term.digest().and_then(|digits| SessionKey::parse_digest(&digits));
        for session in [Some(handle), digest].into_iter().flatten() {
            found.sessions.extend(self.session_row(&session).await?);
        }
        if let Some(digits) = term.digest().filter(|digits| is_pair_digest(digits)) {
            found.pair = self.history.pair(&digits).await?;
        }
        for grant in self.indexed_grants(term.as_str()).await? {
            found.users.extend(self.user_row(&grant).await?);
        }
        Ok(())
    }

    /// Looks for sessions whose digest begins with `digits`. No record is read but those that are found.
    async fn search_sessions(
        &self,
        digits: &str,
        mut next: Option<Cursor>,
        found: &mut Found,
    ) -> Result<Scan, ConsoleRefused> {
        /// Keys alone are cheap.
        const KEYS: usize = 2_000;
        let until = Instant::now() + LONGEST;
        let mut examined = 0;
        loop {
            let (keys, following) = self.sessions.page(next.as_ref(), KEYS).await?;
            examined += keys.len();
            for session in keys.iter().filter(|session| session.digest().starts_with(digits)) {
                found.sessions.extend(self.session_row(session).await?);
            }
            next = following;
            if next.is_none() || found.sessions.len() >= MOST_ROWS || Instant::now() >= until {
                return Ok(Scan { examined, next });
            }
        }
    }

    /// Looks for users with `part` in a name.
    async fn search_users(
        &self,
        part: &str,
        mut next: Option<Cursor>,
        found: &mut Found,
    ) -> Result<Scan, ConsoleRefused> {
        let until = Instant::now() + LONGEST;
        let (mut examined, mut step) = (0, Step::new());
        loop {
            let (keys, following) = self.grants.page(next.as_ref(), step.keys()).await?;
            step = step.after(keys.len());
            for key in &keys {
                examined += 1;
                let row = self.user_row(key).await?;
                found.users.extend(row.filter(|row| {
                    let identity = row.identity.as_ref();
                    identity.is_some_and(|identity| has_in_name(identity, part))
                }));
            }
            next = following;
            if next.is_none() || found.users.len() >= MOST_ROWS || Instant::now() >= until {
                return Ok(Scan { examined, next });
            }
        }
    }
}

fn has_in_name(identity: &UserIdentity, part: &str) -> bool {
    identity.names().any(|name| normal(name).contains(part))
}
