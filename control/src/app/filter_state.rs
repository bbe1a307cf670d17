//! What a filter learns: sign-outs since the position that it has, and the list of servers if it has an older one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokenward_protocol::filter_state::{EndedDigest, FilterState, MAX_SIGN_OUTS_OF_ANSWER, ServerList};
use tokenward_protocol::refusal::Refusal;

use super::{Current, Service};
use crate::config::Config;
use crate::filter_state::NotOfThisLog;
use crate::filter_state::rejected_keys::{self, rejected_keys};
use crate::filter_state::server_list::{PublishedList, TooLong};
use crate::refused::Refused;
use crate::store::StoreError;

/// How often a process looks whether its configuration is published.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What one configuration has for filters.
#[derive(Debug, Clone)]
pub(crate) struct ForFilters {
    servers: PublishedList,
    rejected_keys: Vec<EndedDigest>,
    are_keys_published: Arc<AtomicBool>,
}

impl ForFilters {
    pub(crate) fn new(config: &Config) -> Result<Self, TooLong> {
        Ok(Self {
            servers: PublishedList::new(config)?,
            rejected_keys: rejected_keys(config),
            are_keys_published: Arc::default(),
        })
    }

    /// That of the next configuration.
    pub(crate) fn succeeded_by(&self, config: &Config) -> Result<Self, TooLong> {
        let rejected_keys = rejected_keys(config);
        Ok(Self {
            servers: self.servers.succeeded_by(config)?,
            are_keys_published: if rejected_keys == self.rejected_keys {
                Arc::clone(&self.are_keys_published)
            } else {
                Arc::default()
            },
            rejected_keys,
        })
    }

    fn are_keys_published(&self) -> bool {
        self.are_keys_published.load(Ordering::Acquire)
    }
}

impl From<NotOfThisLog> for Refused {
    fn from(error: NotOfThisLog) -> Self {
        match error {
            NotOfThisLog::Store(error) => error.into(),
            NotOfThisLog::Position => {
                Self::new(Refusal::BadRequest).because("after is not a position of this log")
            }
        }
    }
}

impl Service {
    /// The encoded [`FilterState`] for a filter that has the log up to `after` and the list of servers of the version `servers`.
    ///
    /// # Errors
    /// [`Refused`]: the store, or an impossible position.
    pub(crate) async fn filter_state(&self, after: u64, servers: u64) -> Result<Vec<u8>, Refused> {
        let answered = self.state_since(after, servers).await;
        let metrics = &self.context.metrics.filter_state;
        metrics.poll(match &answered {
            Ok(_) => "answered",
            Err(refused) => refused.refusal.name(),
        });
        answered
    }

    async fn state_since(&self, after: u64, servers: u64) -> Result<Vec<u8>, Refused> {
        self.publish_for_filters().await?;
        let list_version = self.server_list_version().await?;
        let first = if after == 0 {
            self.for_filters.rejected_keys.as_slice()
        } else {
            &[]
        };
        let limit = MAX_SIGN_OUTS_OF_ANSWER.saturating_sub(first.len());
        let log = &self.context.sign_outs;
        let batch = log.since(after, limit).await?;
        let metrics = &self.context.metrics.filter_state;
        metrics.log(batch.version, batch.has_more, log.known_entries().await);
        let state = FilterState {
            version: batch.version,
            has_more: batch.has_more,
            servers: (list_version > servers).then(|| ServerList {
                version: list_version,
                json: self.for_filters.servers.json(),
            }),
            sign_outs: rejected_keys::entries(first).chain(batch.sign_outs).collect(),
        };
        Ok(state.encode())
    }

    async fn server_list_version(&self) -> Result<u64, StoreError> {
        let list = &self.for_filters.servers;
        let version = list.version(&*self.context.store, &*self.context.clock).await?;
        self.context.metrics.filter_state.servers(version);
        Ok(version)
    }

    /// Publishes the list of servers and the rejected keys of this configuration, once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn publish_for_filters(&self) -> Result<(), StoreError> {
        let state = &self.for_filters;
        if state.servers.known_version().is_none() {
            self.server_list_version().await?;
        }
        if !state.are_keys_published() {
            let log = &self.context.sign_outs;
            rejected_keys::publish(&*self.context.store, log, &state.rejected_keys).await?;
            state.are_keys_published.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Publishes every configuration that comes into force, until it is aborted: a filter that asks another replica must learn it
/// too.
pub(crate) async fn run(current: Current) {
    loop {
        let published = current.service().publish_for_filters().await;
        if let Err(error) = published {
            tracing::debug!(%error, "the state of filters could not be published");
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
