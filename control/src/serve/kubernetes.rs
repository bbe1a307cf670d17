//! The resources of a Kubernetes cluster while the process runs: they are awaited at the start, and every list that has
//! settled is put into force.

use std::sync::Arc;
use std::time::Duration;

use tokenward_kubernetes::api::client::ConnectError;
use tokenward_kubernetes::{LeaseSettings, Outcome, Settings, Snapshot, Watching};
use tokio::sync::watch;

use crate::app::resource_servers::ResourceServers;
use crate::app::{Current, key_ring};
use crate::config::{Config, KubernetesConfig};
use crate::observe::throttle::Throttle;
use crate::servers::resources::{counts, stored};
use crate::store::Store;

/// How often the gauges are set.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);
/// At most one WARN of a failing watch within this time.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// How often a start that has no list at all logs that.
const STILL_WAITING: Duration = Duration::from_secs(30);

/// The running watches and the list that the process starts with.
pub(super) struct Resources {
    watching: Watching,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
}

impl Resources {
    /// Begins to watch, and waits for the first list: the API server's, or after [`KubernetesConfig::start_wait`] the one that
    /// was stored last. Without either it waits on: a process that served fewer servers than there are would let requests to
    /// the others pass. Returns the configuration with the servers of the list.
    pub(super) async fn start(
        config: Config,
        section: &KubernetesConfig,
        store: &dyn Store,
        replica_name: &str,
    ) -> Result<(Self, Config, ResourceServers), ConnectError> {
        let stored = stored_list(&config, store).await;
        let watching = Watching::start(&settings(section, replica_name, stored.is_some())).await?;
        let mut snapshots = watching.snapshots();
        let snapshot = first_list(&mut snapshots, section.start_wait, stored, &watching).await;
        let mut resources = ResourceServers::without(&config);
        let merged = resources.merged_with(config, snapshot);
        let config = merged.config.clone();
        resources.take(merged);
        Ok((Self { watching, snapshots }, config, resources))
    }

    /// Puts every list into force; never returns.
    pub(super) async fn run(mut self, current: Current) {
        self.settled(&current, "started").await;
        let throttle = Throttle::new(WARN_INTERVAL);
        let mut ticks = tokio::time::interval(GAUGE_INTERVAL);
        let mut shown = current.resources().verdicts();
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = self.snapshots.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot {
                        current.replace_resources(snapshot);
                        self.settled(&current, "changed").await;
                        shown = current.resources().verdicts();
                    }
                }
                _ = ticks.tick() => {
                    self.show_watches(&current, &throttle);
                    // A reload has judged them again.
                    if !Arc::ptr_eq(&shown, &current.resources().verdicts()) {
                        self.settled(&current, "judged again").await;
                        shown = current.resources().verdicts();
                    }
                }
            }
        }
    }

    /// A list is in force: one line, the gauges, the store, and what is written to the resources.
    async fn settled(&self, current: &Current, cause: &str) {
        let (verdicts, good, omitted) = {
            let resources = current.resources();
            (
                resources.verdicts(),
                resources.last_good().clone(),
                resources.omitted(),
            )
        };
        let counted = counts(&verdicts);
        let count = |outcome| counted.get(&outcome).copied().unwrap_or_default();
        let service = current.service();
        tracing::info!(
            cause,
            servers = service.config.servers.len(),
            accepted = count(Outcome::Accepted),
            held = count(Outcome::Held),
            rejected = count(Outcome::Rejected),
            ignored = count(Outcome::Ignored),
            omitted,
            "the servers of Kubernetes are in force"
        );
        for verdict in verdicts.iter().filter(|verdict| !verdict.outcome.is_good()) {
            tracing::debug!(
                resource = %verdict.resource.id,
                reason = verdict.reason,
                message = verdict.message,
                "a resource is not as it should be"
            );
        }
        service.metrics().kubernetes.resources(&verdicts, omitted);
        let context = &service.context;
        if let Err(error) = stored::save(&*context.store, &context.ring, &good).await {
            // The next list is stored; until then a restart without the API server starts with an older one.
            tracing::warn!(%error, "the servers of Kubernetes could not be stored");
        }
        self.watching.report(verdicts.to_vec());
    }

    fn show_watches(&self, current: &Current, throttle: &Throttle) {
        let service = current.service();
        let now_ms = service.context.clock.now_ms();
        for state in self.watching.states() {
            let source = &state.source;
            let namespace = source.namespace.as_deref().unwrap_or("*");
            service
                .metrics()
                .kubernetes
                .watch(source.kind, namespace, state.answered_at_ms);
            let key = format!("{} {} {namespace}", source.kind.group, source.kind.name);
            match &state.fault {
                Some(fault) => log_fault(throttle, &key, fault, now_ms),
                None => {
                    if let Some(suppressed) = throttle.recovered(&key) {
                        tracing::info!(watch = key, suppressed, "the API server answers again");
                    }
                }
            }
        }
    }
}

fn log_fault(throttle: &Throttle, key: &str, fault: &str, now_ms: u64) {
    use crate::observe::throttle::Emit;
    const STAYS: &str = "the API server does not answer for a watch; its last list stays in force";
    match throttle.failed(key, now_ms) {
        Emit::Warn { suppressed } => tracing::warn!(watch = key, error = fault, suppressed, "{STAYS}"),
        Emit::Debug => tracing::debug!(watch = key, error = fault, "{STAYS}"),
    }
}

fn settings(section: &KubernetesConfig, replica_name: &str, has_earlier_list: bool) -> Settings {
    Settings {
        selections: section
            .resources
            .iter()
            .map(|one| one.selection.clone())
            .collect(),
        kubeconfig: section.kubeconfig.clone(),
        lease: section.lease.clone().map(|name| LeaseSettings {
            name,
            identity: replica_name.to_owned(),
        }),
        has_earlier_list,
    }
}

/// The list in the store; `None` also where the store does not answer.
async fn stored_list(config: &Config, store: &dyn Store) -> Option<Arc<Snapshot>> {
    let ring = key_ring(&config.sealing).ok()?;
    match stored::load(store, &ring).await {
        Ok(stored) => stored.map(Arc::new),
        Err(error) => {
            tracing::warn!(%error, "the stored servers of Kubernetes could not be read");
            None
        }
    }
}

async fn first_list(
    snapshots: &mut watch::Receiver<Option<Arc<Snapshot>>>,
    start_wait: Duration,
    mut stored: Option<Arc<Snapshot>>,
    watching: &Watching,
) -> Arc<Snapshot> {
    let mut patience = start_wait;
    loop {
        let first = tokio::time::timeout(patience, snapshots.wait_for(Option::is_some)).await;
        if let Ok(Ok(found)) = &first
            && let Some(snapshot) = found.as_ref()
        {
            return Arc::clone(snapshot);
        }
        let fault = watching
            .states()
            .into_iter()
            .find_map(|state| state.fault)
            .unwrap_or_default();
        if let Some(stored) = stored.take() {
            tracing::warn!(
                resources = stored.resources.len(),
                error = fault,
                "the API server does not answer: starting with the servers that were stored last"
            );
            return stored;
        }
        tracing::warn!(
            error = fault,
            "the API server does not answer and no servers are stored: the start waits for it"
        );
        patience = STILL_WAITING;
    }
}
