//! The index from a user's names to the user's grants: a search for a whole name costs one read, however many users there
//! are. Names are stored as keyed digests, so that a reader of the store can test no guess.

use secrecy::{ExposeSecret, SecretString};

use crate::app::Service;
use crate::console::identity::UserIdentity;
use crate::console::search::normal;
use crate::digest;
use crate::store::{Key, StoreError};
use crate::upstream::grant::record::GrantKey;

/// Users of one name that are shown.
const MOST_GRANTS: usize = 100;

impl Service {
    /// Adds the names in the ID token of a login in `grant` to the index, if there is a console. Best effort: a failure costs that a search
    /// finds the user only by looking through all.
    pub(crate) async fn index_user(&self, grant: &GrantKey, id_token: &SecretString) {
        if self.console.is_none() {
            return;
        }
        let Some(user) = UserIdentity::read(id_token.expose_secret()) else {
            return;
        };
        let mut names: Vec<String> = user.names().map(normal).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let Some(digest) = self.context.ring.keyed_digests(&labelled(&name)).next() else {
                continue;
            };
            let lifetime = self.config.session_lifetime;
            let added = self
                .context
                .store
                .add_member(&entry(&digest), grant.digest(), lifetime)
                .await;
            if let Err(error) = added {
                tracing::debug!(%error, "a user's name was not indexed for the console");
                return;
            }
        }
    }

    /// The grants of users with exactly this name, at most [`MOST_GRANTS`]. An entry can outlive its grant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn indexed_grants(&self, name: &str) -> Result<Vec<GrantKey>, StoreError> {
        let mut digests = Vec::new();
        for digest in self.context.ring.keyed_digests(&labelled(&normal(name))) {
            digests.extend(self.context.store.members(&entry(&digest)).await?);
        }
        digests.sort_unstable();
        digests.dedup();
        let grants = digests.into_iter().filter(|text| digest::bytes(text).is_some());
        Ok(grants.take(MOST_GRANTS).map(GrantKey::from_digest).collect())
    }
}

fn labelled(name: &str) -> String {
    format!("user name\n{name}")
}

fn entry(digest: &str) -> Key {
    Key::new("user_names", digest)
}
