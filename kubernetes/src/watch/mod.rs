//! Runs the watches.

mod follow;
mod reporter;
mod secrets;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::secrets::SecretWatches;
use crate::api::Api;
use crate::api::client::{ConnectError, KubeApi};
use crate::collection::{Change, Collection};
use crate::kind::{Selection, Source};
use crate::leader::LeaseName;
use crate::resource::{Resource, ResourceId};
use crate::snapshot::{Snapshot, SourceState};
use crate::verdict::Verdict;

/// How often it is looked whether the list has settled.
const TICK: Duration = Duration::from_millis(100);
/// Changes that wait to be taken.
const QUEUE: usize = 256;

/// Who writes to resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The Lease of all replicas.
    pub name: LeaseName,
    /// The name of this one.
    pub identity: String,
}

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The kinds, and which resources of each.
    pub selections: Vec<Selection>,
    /// A kubeconfig; `None`: the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// `None`: nothing is written.
    pub lease: Option<LeaseSettings>,
    /// Whether an earlier process has left a list, which then stays while a kind is not served for a moment.
    pub has_earlier_list: bool,
}

/// The running watches. They end when this is dropped.
pub struct Watching {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    verdicts: watch::Sender<Arc<Vec<Verdict>>>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// What the tasks share.
struct Shared {
    collection: Mutex<Collection>,
}

impl Shared {
    fn with<T>(&self, read: impl FnOnce(&mut Collection) -> T) -> T {
        read(&mut self.collection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn resource(&self, id: &ResourceId) -> Option<Resource> {
        self.with(|collection| collection.resource(id).cloned())
    }
}

impl Watching {
    /// Begins to watch. Must be called within a tokio runtime. The API server is not awaited.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn start(settings: &Settings) -> Result<Self, ConnectError> {
        let instance = settings
            .lease
            .as_ref()
            .map_or("tokenward", |lease| &lease.identity);
        let api = KubeApi::connect(settings.kubeconfig.as_ref(), instance.to_owned()).await?;
        Ok(Self::with_api(settings, Arc::new(api)))
    }

    /// The same with another way to the API server, as tests have.
    #[must_use]
    pub fn with_api(settings: &Settings, api: Arc<dyn Api>) -> Self {
        let sources: Vec<Source> = settings.selections.iter().flat_map(Selection::sources).collect();
        let collection = Collection::new(sources.iter().cloned(), settings.has_earlier_list, now_ms());
        let shared = Arc::new(Shared {
            collection: Mutex::new(collection),
        });
        let (publish, snapshots) = watch::channel(None);
        let (verdicts, judged) = watch::channel(Arc::default());
        let (changes, queue) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        for source in sources {
            tasks.spawn(follow::resources(Arc::clone(&api), source, changes.clone()));
        }
        let secrets = SecretWatches::new(Arc::clone(&api), changes);
        tasks.spawn(collect(Arc::clone(&shared), queue, secrets, publish));
        if let Some(lease) = settings.lease.clone() {
            tasks.spawn(reporter::run(api, lease, Arc::clone(&shared), judged));
        }
        Self {
            snapshots,
            verdicts,
            shared,
            _tasks: tasks,
        }
    }

    /// The list: `None` until all lists have been read once, then every one that has settled.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// Hands over what was decided about the resources of a list, for the leader to write.
    pub fn report(&self, verdicts: Vec<Verdict>) {
        self.verdicts.send_replace(Arc::new(verdicts));
    }

    /// How each list is doing.
    #[must_use]
    pub fn states(&self) -> Vec<SourceState> {
        self.shared.with(|collection| collection.states())
    }
}

/// Takes changes and publishes lists; never returns.
async fn collect(
    shared: Arc<Shared>,
    mut queue: mpsc::Receiver<Change>,
    mut secrets: SecretWatches,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            change = queue.recv() => {
                let Some(change) = change else { return };
                let wanted = shared.with(|collection| {
                    collection.take(change, now_ms());
                    while let Ok(change) = queue.try_recv() {
                        collection.take(change, now_ms());
                    }
                    collection.wanted_secrets()
                });
                secrets.watch_exactly(wanted);
            }
            _ = tick.tick() => {
                if let Some(snapshot) = shared.with(|collection| collection.settled(now_ms())) {
                    publish.send_replace(Some(Arc::new(snapshot)));
                }
            }
        }
    }
}

/// Unix ms. In tests with a paused clock it follows that clock.
fn now_ms() -> u64 {
    static START: std::sync::OnceLock<(tokio::time::Instant, u64)> = std::sync::OnceLock::new();
    let (start, at_start_ms) = *START.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (
            tokio::time::Instant::now(),
            u64::try_from(since.as_millis()).unwrap_or_default(),
        )
    });
    at_start_ms + u64::try_from(start.elapsed().as_millis()).unwrap_or_default()
}
