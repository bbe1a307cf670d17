//! The leader's writes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{LeaseSettings, Shared};
use crate::api::{Api, ApiError};
use crate::kind::Kind;
use crate::leader::{Election, LOOK_INTERVAL_MS, Step};
use crate::report::Reports;
use crate::verdict::Verdict;

/// How often the leader looks whether something is to be written.
const PASS_INTERVAL: Duration = Duration::from_secs(1);

/// Takes part in the election, and writes while this replica leads; never returns.
pub(super) async fn run(
    api: Arc<dyn Api>,
    lease: LeaseSettings,
    shared: Arc<Shared>,
    verdicts: watch::Receiver<Arc<Vec<Verdict>>>,
) {
    let started = Instant::now();
    let now_ms = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut election = Election::new(lease.identity.clone());
    let mut writer = Writer {
        api: &*api,
        reports: Reports::default(),
        shared_conditions: BTreeMap::new(),
    };
    let mut looked_ms = None;
    loop {
        let now = now_ms();
        if looked_ms.is_none_or(|looked: u64| now.saturating_sub(looked) >= LOOK_INTERVAL_MS) {
            looked_ms = Some(now);
            let led = election.leads(now);
            // The lease counts from before the call: the API server's answer may be late.
            look(&*api, &lease, &mut election, now).await;
            if led && !election.leads(now) {
                writer.reports.forget();
            }
        }
        if election.leads(now_ms()) {
            let judged = Arc::clone(&verdicts.borrow());
            writer.pass(&judged, &shared, now_ms()).await;
        }
        sleep(PASS_INTERVAL).await;
    }
}

async fn look(api: &dyn Api, settings: &LeaseSettings, election: &mut Election, now_ms: u64) {
    let call = async {
        let lease = api.lease(&settings.name).await?;
        match election.next(lease.as_ref(), now_ms) {
            Step::Follow => {
                election.lost();
                Ok(())
            }
            Step::Write(record) => api.write_lease(&settings.name, &record).await.map(|()| {
                election.written(now_ms);
            }),
        }
    };
    match timeout(Duration::from_millis(LOOK_INTERVAL_MS), call).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(ApiError::Conflict)) => election.lost(),
        Ok(Err(error)) => tracing::debug!(%error, "the lease of the writer to resources could not be held"),
    }
}

struct Writer<'a> {
    api: &'a dyn Api,
    reports: Reports,
    /// By kind and version: whether its conditions can be shared.
    shared_conditions: BTreeMap<(&'static Kind, String), bool>,
}

impl Writer<'_> {
    async fn pass(&mut self, judged: &[Verdict], shared: &Shared, now_ms: u64) {
        // The conditions as they are now: ours may have been written, or dropped by another writer.
        let current: Vec<Verdict> = judged
            .iter()
            .filter_map(|verdict| {
                let now = shared.resource(&verdict.resource.id)?;
                let is_the_same = now.means_the_same(&verdict.resource);
                is_the_same.then(|| Verdict {
                    resource: now,
                    ..verdict.clone()
                })
            })
            .collect();
        self.learn_conditions(&current).await;
        let known = &self.shared_conditions;
        let can_share = |kind: &'static Kind, version: &str| {
            known
                .get(&(kind, version.to_owned()))
                .copied()
                .unwrap_or_default()
        };
        let plan = self.reports.plan(&current, &can_share, now_ms);
        for patch in &plan.conditions {
            if let Err(error) = self.api.patch_condition(patch).await {
                tracing::debug!(resource = %patch.resource, %error, "a condition could not be written");
            }
        }
        for event in &plan.events {
            if let Err(error) = self.api.publish(event).await {
                tracing::debug!(resource = %event.resource, %error, "an event could not be written");
                self.reports.failed(&event.resource);
            }
        }
    }

    async fn learn_conditions(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let resource = &verdict.resource;
            let key = (resource.id.kind, resource.version.clone());
            if self.shared_conditions.contains_key(&key) {
                continue;
            }
            match self.api.has_shared_conditions(key.0, &key.1).await {
                Ok(shared) => {
                    self.shared_conditions.insert(key, shared);
                }
                // The next pass reads it again.
                Err(error) => {
                    tracing::debug!(kind = key.0.name, %error, "the schema of a kind could not be read");
                    return;
                }
            }
        }
    }
}
