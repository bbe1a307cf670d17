//! Compare-and-set on grant records: a change lands on the generation and refresh token that it was made for, or
//! not at all.

use std::time::Duration;

use tokio::time::Instant;

use super::record::{GrantKey, GrantRecord, GrantState};
use super::{Inner, Kept};
use crate::flight::{Reporter, Stage};
use crate::store::{Expected, Outcome, StoreError};

/// Waits between attempts while the store does not answer.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What a change was made for.
#[derive(Debug, Clone)]
pub(super) struct Basis {
    pub(super) generation: u64,
    /// Fingerprints of the refresh token that the record may hold: the presented one, and the new one, because an
    /// unanswered write may have landed.
    pub(super) refresh_fingerprints: Vec<String>,
}

/// How a change ended.
pub(super) enum Committed {
    /// It is in the store.
    Done,
    /// A newer login, a sign-out or another refresh came first; nothing was changed.
    Superseded,
}

/// One grant that is to be changed.
pub(super) struct Change<'a> {
    pub(super) inner: &'a Inner,
    pub(super) key: &'a GrantKey,
}

impl Change<'_> {
    /// Applies `edit` to the record, as long as it stands on `basis`. While the store does not answer, tries again
    /// for `patience`: a rotated refresh token exists nowhere else.
    pub(super) async fn apply<V>(
        &self,
        basis: &Basis,
        patience: Duration,
        reporter: &Reporter<V>,
        edit: impl Fn(&mut GrantRecord) + Send + Sync,
    ) -> Result<Committed, StoreError> {
        let until = Instant::now() + patience;
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.attempt(basis, &edit).await {
                Ok(Some(committed)) => {
                    reporter.stage(Stage::Asking);
                    return Ok(committed);
                }
                // Somebody else wrote in between: look again at once.
                Ok(None) => continue,
                Err(error) => error,
            };
            if Instant::now() + wait > until {
                return Err(error);
            }
            reporter.stage(Stage::Keeping);
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// `None`: the record changed between reading and writing.
    async fn attempt(
        &self,
        basis: &Basis,
        edit: &(impl Fn(&mut GrantRecord) + Send + Sync),
    ) -> Result<Option<Committed>, StoreError> {
        let Some(Kept { revision, mut record }) = self.inner.read(self.key).await? else {
            return Ok(Some(Committed::Superseded));
        };
        if !stands_on(&record, basis) {
            return Ok(Some(Committed::Superseded));
        }
        edit(&mut record);
        match self
            .inner
            .write(self.key, Expected::At(revision), &record)
            .await?
        {
            Outcome::Done(_) => Ok(Some(Committed::Done)),
            Outcome::Conflict(_) => Ok(None),
        }
    }
}

fn stands_on(record: &GrantRecord, basis: &Basis) -> bool {
    let held = record.refresh_token.as_ref().map(|token| &token.fingerprint);
    record.generation == basis.generation
        && !matches!(record.state, GrantState::SignedOut { .. })
        && held.is_some_and(|held| basis.refresh_fingerprints.contains(held))
}
