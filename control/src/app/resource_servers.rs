//! The servers of a service: those of the configuration, and those of the resources of a Kubernetes cluster.

use std::sync::Arc;

use tokenward_kubernetes::{Snapshot, Verdict};

use super::Current;
use crate::config::{Config, ServerConfig};
use crate::servers::resources::{Judged, LastGood, judge};

/// What the servers are made of.
#[derive(Debug, Default)]
pub(crate) struct ResourceServers {
    /// The configuration's own.
    configured: Vec<ServerConfig>,
    snapshot: Arc<Snapshot>,
    last_good: LastGood,
    verdicts: Arc<Vec<Verdict>>,
}

/// A configuration with all servers, which is not in force yet.
pub(crate) struct Merged {
    /// The configuration.
    pub(crate) config: Config,
    configured: Vec<ServerConfig>,
    snapshot: Arc<Snapshot>,
    judged: Judged,
}

impl ResourceServers {
    /// The servers of `config` alone.
    pub(crate) fn without(config: &Config) -> Self {
        Self {
            configured: config.servers.clone(),
            ..Self::default()
        }
    }

    /// `config`, as it was read, with the servers of the resources that are known.
    pub(crate) fn merged(&self, config: Config) -> Merged {
        merge(config, Arc::clone(&self.snapshot), &self.last_good)
    }

    /// `config`, which is in force, with the servers of `snapshot`.
    pub(crate) fn merged_with(&self, mut config: Config, snapshot: Arc<Snapshot>) -> Merged {
        config.servers.clone_from(&self.configured);
        merge(config, snapshot, &self.last_good)
    }

    /// `merged` is in force.
    pub(crate) fn take(&mut self, merged: Merged) {
        self.configured = merged.configured;
        self.snapshot = merged.snapshot;
        self.last_good = merged.judged.last_good;
        self.verdicts = Arc::new(merged.judged.verdicts);
    }

    /// What was decided about each resource.
    pub(crate) fn verdicts(&self) -> Arc<Vec<Verdict>> {
        Arc::clone(&self.verdicts)
    }

    /// The resources that are servers.
    pub(crate) const fn last_good(&self) -> &LastGood {
        &self.last_good
    }

    /// Resources that are left out because there are too many.
    pub(crate) fn omitted(&self) -> usize {
        self.snapshot.omitted
    }
}

fn merge(mut config: Config, snapshot: Arc<Snapshot>, last_good: &LastGood) -> Merged {
    let configured = config.servers.clone();
    let mut judged = judge(&config, &snapshot, last_good);
    config.servers.append(&mut judged.servers);
    Merged {
        config,
        configured,
        snapshot,
        judged,
    }
}

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
