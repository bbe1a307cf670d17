//! Puts another list of resources into force.

use std::sync::Arc;

use tokenward_kubernetes::Snapshot;

use super::Current;

impl Current {
    /// Puts the servers of `snapshot` into force for new requests. `false`: they are the same as before. Must be called within
    /// a tokio runtime.
    pub(crate) fn replace_resources(&self, snapshot: Arc<Snapshot>) -> bool {
        let mut resources = self.resources();
        let service = self.service();
        let merged = resources.merged_with(service.config.clone(), snapshot);
        let (old, new) = (&service.config.servers, &merged.config.servers);
        let is_same = old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.is_same(new));
        if !is_same {
            match service.with_servers_of(merged.config.clone()) {
                Ok(next) => self.replace_servers(next),
                // `judge` leaves out what does not fit, so this takes a fault there; the verdicts of the earlier list stay with it.
                Err(too_long) => {
                    tracing::error!(problem = %too_long, "the servers of resources are not used; the earlier ones stay in force");
                    return false;
                }
            }
        }
        resources.take(merged);
        !is_same
    }
}
