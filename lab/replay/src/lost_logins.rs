//! Logins that were lost although the story had not ended them.

use std::collections::{BTreeMap, BTreeSet};

use tokenward_harness::issuer::Issuer;

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct LostLogins {
    /// Refreshes that the issuer refused after the story had ended the login, by user.
    excused: BTreeMap<&'static str, usize>,
    /// Refused refreshes of users whose login the story has ended, up to then.
    at_end: BTreeMap<&'static str, usize>,
    /// Users whose login cannot be refreshed.
    dead: BTreeSet<&'static str>,
}

impl LostLogins {
    /// The story ends the user's login.
    pub(super) fn end<I: Issuer>(&mut self, user: &'static str, issuer: &I) {
        self.at_end.insert(user, refused(user, issuer));
    }

    /// The user has logged in again.
    pub(super) fn begin_again<I: Issuer>(&mut self, user: &'static str, issuer: &I) {
        if let Some(before) = self.at_end.remove(user) {
            *self.excused.entry(user).or_default() += refused(user, issuer) - before;
        }
    }

    /// The user's login cannot be refreshed.
    pub(super) fn note(&mut self, user: &'static str) {
        self.dead.insert(user);
    }

    /// How many of `users` have lost a login.
    pub(super) fn count<I: Issuer>(
        &self,
        users: impl IntoIterator<Item = &'static str>,
        issuer: &I,
    ) -> usize {
        let excused = |user| self.excused.get(user).copied().unwrap_or(0);
        let lost = |user: &&'static str| self.dead.contains(user) || refused(user, issuer) > excused(*user);
        users.into_iter().filter(lost).count()
    }
}

/// Refreshes of the user's logins that the issuer did not do.
fn refused<I: Issuer>(user: &str, issuer: &I) -> usize {
    let counts = issuer.counts_of(user);
    counts.refreshes_presented - counts.refreshes_succeeded
}
