//! Follows one list: reads it, watches it, and begins again where the API server demands it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::api::{Api, ApiError, Object, WatchEvent, Watched};
use crate::backoff::{Backoff, random};
use crate::collection::{Change, MOST_RESOURCES};
use crate::kind::Source;
use crate::resource::{Resource, ResourceId};
use crate::secret::{SecretId, SecretRead};

/// Without an event for this long a watch is dead: the API server ends one after a minute, and sends bookmarks before.
const IDLE: Duration = Duration::from_secs(75);
/// A watch that ends within this time counts as a failure, so that an API server that ends every watch is not called in a
/// loop.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);
/// How often a kind that is not served is looked for.
const LOOK_FOR_KIND: Duration = Duration::from_secs(5);
/// Objects of a list that are stored while it is read.
const MOST_LISTED: usize = MOST_RESOURCES * 4;

/// Follows the resources of `source`; returns when nothing takes the changes any more.
pub(super) async fn resources(api: Arc<dyn Api>, source: Source, changes: mpsc::Sender<Change>) {
    let mut backoff = Backoff::default();
    loop {
        let found = match api.versions(source.kind.group).await {
            Ok(served) => source.kind.version(&served).ok_or(ApiError::NotFound),
            Err(error) => Err(error),
        };
        let error = match found {
            Ok(version) => {
                let following = Following {
                    api: &*api,
                    watched: Watched::Resources(source.clone(), version),
                    changes: &changes,
                };
                following.run(&mut backoff).await
            }
            Err(error) => error,
        };
        let (change, delay) = match error {
            // Also after a list that was served until now: the kind may be served in another version.
            ApiError::NotFound => (Change::NotInstalled(source.clone()), jittered(LOOK_FOR_KIND)),
            error => (Change::Failed(source.clone(), error), backoff.next(random())),
        };
        if changes.send(change).await.is_err() {
            return;
        }
        sleep(delay).await;
    }
}

/// Follows the Secret `id`; returns when nothing takes the changes any more.
pub(super) async fn secret(api: Arc<dyn Api>, id: SecretId, changes: mpsc::Sender<Change>) {
    let mut backoff = Backoff::default();
    loop {
        let following = Following {
            api: &*api,
            watched: Watched::Secret(id.clone()),
            changes: &changes,
        };
        let error = following.run(&mut backoff).await;
        // What is known of a Secret stays while the API server is away. What it does not let us read any more does not.
        if let ApiError::Denied(why) = error {
            let _ = changes
                .send(Change::Secret(id.clone(), SecretRead::Denied(why)))
                .await;
        }
        if changes.is_closed() {
            return;
        }
        sleep(backoff.next(random())).await;
    }
}

fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.75 + f64::from(random()) / f64::from(u16::MAX) / 2.0)
}

struct Following<'a> {
    api: &'a dyn Api,
    watched: Watched,
    changes: &'a mpsc::Sender<Change>,
}

/// Why a watch ended.
enum Ended {
    /// It can go on from here.
    At(String),
    /// The list must be read again.
    ListAgain,
    /// It failed, and can go on from here.
    Failed(ApiError, String),
}

impl Following<'_> {
    /// Reads the list and watches it until it cannot be read; returns why.
    async fn run(&self, backoff: &mut Backoff) -> ApiError {
        loop {
            let mut version = match self.list().await {
                Ok(version) => version,
                Err(error) => return error,
            };
            backoff.reset();
            loop {
                let begun = Instant::now();
                let delay = match self.watch(version).await {
                    Ended::ListAgain => break,
                    Ended::At(next) => {
                        version = next;
                        self.answered().await;
                        if begun.elapsed() >= SHORTEST_WATCH {
                            backoff.reset();
                            continue;
                        }
                        backoff.next(random())
                    }
                    Ended::Failed(error @ (ApiError::NotFound | ApiError::Denied(_)), _) => return error,
                    Ended::Failed(error, next) => {
                        version = next;
                        self.failed(error).await;
                        backoff.next(random())
                    }
                };
                if self.changes.is_closed() {
                    return ApiError::Failed("stopped".to_owned());
                }
                sleep(delay).await;
            }
            tracing::debug!(list = ?self.watched, "a list is read again: its resource version is too old");
            // All replicas learn it at the same moment.
            sleep(jittered(Duration::from_millis(200))).await;
        }
    }

    /// Reads the whole list; returns its resource version.
    async fn list(&self) -> Result<String, ApiError> {
        let mut objects: Vec<Object> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.api.list(&self.watched, next.as_deref()).await?;
            objects.extend(page.objects);
            if objects.len() > MOST_LISTED {
                // The oldest stay.
                objects.sort_by_key(|object| object.created_at_seconds);
                objects.truncate(MOST_LISTED);
            }
            next = page.next;
            if next.is_none() {
                self.listed(&objects).await;
                return Ok(page.resource_version);
            }
        }
    }

    /// Watches from `version` on.
    async fn watch(&self, version: String) -> Ended {
        let mut version = version;
        let mut stream = match self.api.watch(&self.watched, &version).await {
            Ok(stream) => stream,
            Err(ApiError::Expired) => return Ended::ListAgain,
            Err(error) => return Ended::Failed(error, version),
        };
        loop {
            match timeout(IDLE, stream.next()).await {
                Err(_) => {
                    let error = ApiError::Failed(format!("no event within {} s", IDLE.as_secs()));
                    return Ended::Failed(error, version);
                }
                Ok(None) => return Ended::At(version),
                Ok(Some(Err(ApiError::Expired))) => return Ended::ListAgain,
                Ok(Some(Err(error))) => return Ended::Failed(error, version),
                Ok(Some(Ok(WatchEvent::Bookmark(next)))) => {
                    version = next;
                    self.answered().await;
                }
                Ok(Some(Ok(WatchEvent::Applied(object)))) => {
                    version.clone_from(&object.resource_version);
                    self.applied(&object).await;
                }
                Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                    version.clone_from(&object.resource_version);
                    self.deleted(object).await;
                }
            }
        }
    }

    async fn send(&self, change: Change) {
        // Without a receiver the process is stopping, and the task is aborted.
        let _ = self.changes.send(change).await;
    }

    async fn listed(&self, objects: &[Object]) {
        let change = match &self.watched {
            Watched::Resources(source, version) => {
                let read = |object| Resource::read(source.kind, version, object);
                Change::Listed(source.clone(), objects.iter().filter_map(read).collect())
            }
            Watched::Secret(id) => {
                let read = objects.first().map_or(SecretRead::Absent, SecretRead::of);
                Change::Secret(id.clone(), read)
            }
        };
        self.send(change).await;
    }

    async fn applied(&self, object: &Object) {
        let change = match &self.watched {
            Watched::Resources(source, version) => Change::applied(source, version, object),
            Watched::Secret(id) => Some(Change::Secret(id.clone(), SecretRead::of(object))),
        };
        if let Some(change) = change {
            self.send(change).await;
        }
    }

    async fn deleted(&self, object: Object) {
        let change = match &self.watched {
            Watched::Resources(source, _) => {
                let Some(namespace) = object.namespace else { return };
                let id = ResourceId {
                    kind: source.kind,
                    namespace,
                    name: object.name,
                };
                Change::Deleted(source.clone(), id)
            }
            Watched::Secret(id) => Change::Secret(id.clone(), SecretRead::Absent),
        };
        self.send(change).await;
    }

    async fn answered(&self) {
        if let Watched::Resources(source, _) = &self.watched {
            self.send(Change::Answered(source.clone())).await;
        }
    }

    async fn failed(&self, error: ApiError) {
        if let Watched::Resources(source, _) = &self.watched {
            self.send(Change::Failed(source.clone(), error)).await;
        }
    }
}
