//! One session, one user, one pair.

use super::refusal::{ConsoleRefusal, ConsoleRefused};
use super::view::{PairRow, SessionRow, UserRow};
use crate::activity::PairRecord;
use crate::activity::pair::user_owner;
use crate::app::Service;
use crate::app::explain::{ExplainedCaller, Explanation};
use crate::session::SessionKey;
use crate::upstream::grant::record::GrantKey;

/// Sessions of one user that are shown.
const MOST_SESSIONS: usize = 100;
/// Servers on one page.
const SERVERS_ON_A_PAGE: usize = 50;

/// Servers with what a session or user gets there.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// By the servers' names.
    pub(crate) rows: Vec<PairRow>,
    /// The last server of this page, if there are more.
    pub(crate) more_after: Option<String>,
}

/// A session with its pairs.
#[derive(Debug)]
pub(crate) struct SessionDetail {
    /// The session.
    pub(crate) row: SessionRow,
    /// Whether it is a login at our own authorization server.
    pub(crate) is_own_login: bool,
    /// Its pairs.
    pub(crate) pairs: Pairs,
}

/// A user's login with its sessions and what the servers get.
#[derive(Debug)]
pub(crate) struct UserDetail {
    /// The login.
    pub(crate) row: UserRow,
    /// Its sessions, at most a hundred.
    pub(crate) sessions: Vec<SessionRow>,
    /// How many there are, ended ones included that were not removed yet.
    pub(crate) sessions_count: usize,
    /// What the servers get.
    pub(crate) pairs: Pairs,
}

impl Service {
    /// The session `digest`, with the servers after `after`.
    ///
    /// # Errors
    /// [`ConsoleRefused`].
    pub(crate) async fn console_session(
        &self,
        digest: &str,
        after: Option<&str>,
    ) -> Result<SessionDetail, ConsoleRefused> {
        let session = session_key(digest)?;
        let row = self
            .session_row(&session)
            .await?
            .ok_or_else(|| ConsoleRefused::new(ConsoleRefusal::NotFound, "there is no such session"))?;
        Ok(SessionDetail {
            row,
            is_own_login: self.is_logged_in_here(&session).await?,
            pairs: self
                .pairs(&ExplainedCaller::Listed(session), digest, after)
                .await?,
        })
    }

    /// The user's login `digest`, with the servers after `after`.
    ///
    /// # Errors
    /// [`ConsoleRefused`].
    pub(crate) async fn console_user(
        &self,
        digest: &str,
        after: Option<&str>,
    ) -> Result<UserDetail, ConsoleRefused> {
        let grant = grant_key(digest)?;
        let row = self
            .user_row(&grant)
            .await?
            .ok_or_else(|| ConsoleRefused::new(ConsoleRefusal::NotFound, "there is no such login"))?;
        let (keys, sessions_count) = self.sessions_beside(&grant, &row).await?;
        let mut sessions = Vec::new();
        for key in &keys {
            sessions.extend(self.session_row(key).await?);
        }
        let owner = owner(&row).unwrap_or_default();
        Ok(UserDetail {
            row,
            sessions,
            sessions_count,
            pairs: self.pairs(&ExplainedCaller::Grant(grant), &owner, after).await?,
        })
    }

    /// The sessions of the user of `row`, at most [`MOST_SESSIONS`], and their number: those of `grant`, or of all the user's
    /// logins where `grant` is one of them.
    async fn sessions_beside(
        &self,
        grant: &GrantKey,
        row: &UserRow,
    ) -> Result<(Vec<SessionKey>, usize), ConsoleRefused> {
        let is_of_user = self.grants.user_of_login(grant).await?.as_ref() == Some(grant);
        let (false, Some(user)) = (is_of_user, &row.identity) else {
            return Ok(self.sessions.of_grant(grant, MOST_SESSIONS).await?);
        };
        let mut keys = self.sessions.of_user(&row.issuer, &user.subject).await?;
        let count = keys.len();
        keys.sort_unstable_by(|one, other| one.digest().cmp(other.digest()));
        keys.truncate(MOST_SESSIONS);
        Ok((keys, count))
    }

    /// The explanation of a pair, a session or a user and a server, and what was last seen of it.
    ///
    /// # Errors
    /// [`ConsoleRefused`].
    pub(crate) async fn console_pair(
        &self,
        caller: &ExplainedCaller,
        server: &str,
    ) -> Result<(Explanation, Option<PairRecord>), ConsoleRefused> {
        let explanation = self.explain(caller, Some(server)).await?;
        let owner = match caller {
            ExplainedCaller::Listed(session) => Some(session.digest().to_owned()),
            ExplainedCaller::Grant(grant) => self.user_row(grant).await?.as_ref().and_then(owner),
            _ => None,
        };
        let seen = match owner {
            Some(owner) => self.last_outcomes(&owner).await?.remove(server),
            None => None,
        };
        Ok((explanation, seen))
    }

    /// The servers after `after`; `owner` is what their pairs are recorded under.
    async fn pairs(
        &self,
        caller: &ExplainedCaller,
        owner: &str,
        after: Option<&str>,
    ) -> Result<Pairs, ConsoleRefused> {
        let seen = self.last_outcomes(owner).await?;
        let now_ms = self.context.clock.now_ms();
        let mut servers: Vec<&str> = self.servers.keys().map(String::as_str).collect();
        servers.sort_unstable();
        let following = servers
            .into_iter()
            .filter(|server| after.is_none_or(|after| *server > after));
        let (mut rows, mut more_after) = (Vec::new(), None);
        for server in following {
            if rows.len() == SERVERS_ON_A_PAGE {
                more_after = rows.last().map(|row: &PairRow| row.server.clone());
                break;
            }
            let explanation = self.explain(caller, Some(server)).await?;
            rows.push(PairRow::of(&explanation, seen.get(server), now_ms));
        }
        Ok(Pairs { rows, more_after })
    }
}

/// What the pairs of a user without a session are recorded under.
fn owner(row: &UserRow) -> Option<String> {
    let user = row.identity.as_ref()?;
    Some(user_owner(&row.issuer, &user.subject))
}

/// The session that an address names.
///
/// # Errors
/// [`ConsoleRefusal::NotFound`].
pub(crate) fn session_key(digest: &str) -> Result<SessionKey, ConsoleRefused> {
    SessionKey::parse_digest(digest).ok_or_else(|| ConsoleRefusal::NotFound.into())
}

/// The login that an address names.
///
/// # Errors
/// [`ConsoleRefusal::NotFound`].
pub(crate) fn grant_key(digest: &str) -> Result<GrantKey, ConsoleRefused> {
    match SessionKey::parse_digest(digest) {
        Some(_) => Ok(GrantKey::from_digest(digest.to_owned())),
        None => Err(ConsoleRefusal::NotFound.into()),
    }
}
