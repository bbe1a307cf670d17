//! One watch for each Secret that a resource names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::follow;
use crate::api::Api;
use crate::collection::Change;
use crate::secret::SecretId;

pub(super) struct SecretWatches {
    api: Arc<dyn Api>,
    changes: mpsc::Sender<Change>,
    watches: BTreeMap<SecretId, JoinHandle<()>>,
}

impl SecretWatches {
    pub(super) const fn new(api: Arc<dyn Api>, changes: mpsc::Sender<Change>) -> Self {
        Self {
            api,
            changes,
            watches: BTreeMap::new(),
        }
    }

    /// Begins the watches that are missing and ends those of other Secrets.
    pub(super) fn watch_exactly(&mut self, wanted: BTreeSet<SecretId>) {
        self.watches.retain(|id, watch| {
            let is_wanted = wanted.contains(id);
            if !is_wanted {
                watch.abort();
            }
            is_wanted
        });
        for id in wanted {
            let (api, changes) = (&self.api, &self.changes);
            self.watches
                .entry(id.clone())
                .or_insert_with(|| tokio::spawn(follow::secret(Arc::clone(api), id, changes.clone())));
        }
    }
}

impl Drop for SecretWatches {
    fn drop(&mut self) {
        for watch in self.watches.values() {
            watch.abort();
        }
    }
}
