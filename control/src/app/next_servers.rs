//! The service with another list of servers. Everything that does not belong to a changed server stays: the limits and keys
//! of issuers, calls in progress, the cached documents of clients and the allowances of sources.

use std::sync::Arc;

use super::background::Background;
use super::{Service, build, samples};
use crate::config::Config;
use crate::filter_state::server_list::TooLong;

impl Service {
    /// This service with the servers of `config`, which differs from this service's configuration in nothing else.
    ///
    /// # Errors
    /// [`TooLong`]: filters could not read the list.
    pub(crate) fn with_servers_of(&self, config: Config) -> Result<Arc<Self>, TooLong> {
        let for_filters = self.for_filters.succeeded_by(&config)?;
        samples::begin(&self.context.metrics, &config);
        let mut limits = self.limits.carried_over(&self.config, &config);
        // Those of home issuers are in use, also where a server has gone that exchanged there.
        limits.keep(
            self.homes.iter().map(|home| home.config.issuer.as_str()),
            &self.limits,
        );
        Ok(Arc::new(Self {
            servers: build::servers(&config, &self.homes, &self.context, &mut limits, &self.servers),
            for_filters,
            config,
            context: self.context.clone(),
            history: self.history.clone(),
            homes: self.homes.clone(),
            grants: self.grants.clone(),
            exchanges: self.exchanges.clone(),
            sessions: self.sessions.clone(),
            relay: self.relay.clone(),
            policy: self.policy,
            throttle: Arc::clone(&self.throttle),
            readiness: Arc::clone(&self.readiness),
            relay_edge: Arc::clone(&self.relay_edge),
            authorization: self.authorization.clone(),
            console: self.console.clone(),
            rotations: Arc::clone(&self.rotations),
            recorded: Arc::clone(&self.recorded),
            limits,
            background: Background::default(),
            replica_name: Arc::clone(&self.replica_name),
        }))
    }

    /// Waits until no mutation of a request that began with this service is in progress.
    pub(super) async fn wait_for_mutations(&self) {
        self.background.wait_idle().await;
    }
}
