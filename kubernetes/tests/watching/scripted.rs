//! An API server in memory: lists with resource versions, watches, and faults that a test switches on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokenward_kubernetes::Kind;
use tokenward_kubernetes::api::{Api, ApiError, ListPage, Object, WatchEvent, WatchStream, Watched};
use tokenward_kubernetes::leader::{LeaseName, LeaseRecord};
use tokenward_kubernetes::report::{ConditionPatch, EventNote};
use tokio::sync::broadcast;

/// What is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing answers.
    Away,
    /// RBAC does not allow it.
    Forbidden,
}

#[derive(Default)]
struct State {
    version: u64,
    /// Watches of earlier versions are answered 410.
    oldest_version: u64,
    objects: BTreeMap<String, Object>,
    secrets: BTreeMap<String, Object>,
    groups: Vec<String>,
    fault: Option<Fault>,
    lists: usize,
    watches: usize,
    patches: Vec<ConditionPatch>,
    events: Vec<EventNote>,
    lease: Option<LeaseRecord>,
}

/// The API server.
pub(crate) struct Scripted {
    state: Mutex<State>,
    changes: broadcast::Sender<(bool, bool, Object)>,
    shared_conditions: bool,
}

pub(crate) const GROUP: &str = "muster.giantswarm.io";

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_conditions(false)
    }

    pub(crate) fn with_conditions(shared_conditions: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                version: 10,
                groups: vec![GROUP.to_owned()],
                ..State::default()
            }),
            changes: broadcast::channel(4096).0,
            shared_conditions,
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("no test panics while it holds this"))
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.with(|state| state.fault = fault);
        if fault.is_some() {
            self.end_watches();
        }
    }

    /// Ends the open watches and forgets all versions but the present one.
    pub(crate) fn forget_versions(&self, change: impl FnOnce(&Self)) {
        self.end_watches();
        change(self);
        self.with(|state| state.oldest_version = state.version);
    }

    fn end_watches(&self) {
        let _ = self.changes.send((false, true, object("", 0, json!({}))));
    }

    pub(crate) fn set_groups(&self, groups: &[&str]) {
        self.with(|state| state.groups = groups.iter().map(|group| (*group).to_owned()).collect());
    }

    pub(crate) fn apply(&self, name: &str, body: Value) {
        let found = self.with(|state| {
            state.version += 1;
            let mut found = object(name, state.version, body);
            if let Some(before) = state.objects.get(name) {
                found.created_at_seconds = before.created_at_seconds;
                found.generation = before.generation + 1;
            }
            state.objects.insert(name.to_owned(), found.clone());
            found
        });
        let _ = self.changes.send((false, false, found));
    }

    pub(crate) fn delete(&self, name: &str) {
        let found = self.with(|state| {
            state.version += 1;
            let mut found = state.objects.remove(name).expect("it is there");
            found.resource_version = state.version.to_string();
            found
        });
        let _ = self.changes.send((false, true, found));
    }

    pub(crate) fn put_secret(&self, name: &str, data: &Value) {
        let found = self.with(|state| {
            state.version += 1;
            let found = object(name, state.version, json!({"data": data}));
            state.secrets.insert(name.to_owned(), found.clone());
            found
        });
        let _ = self.changes.send((true, false, found));
    }

    pub(crate) fn lists(&self) -> usize {
        self.with(|state| state.lists)
    }

    pub(crate) fn watches(&self) -> usize {
        self.with(|state| state.watches)
    }

    pub(crate) fn patches(&self) -> Vec<ConditionPatch> {
        self.with(|state| state.patches.clone())
    }

    pub(crate) fn events(&self) -> Vec<EventNote> {
        self.with(|state| state.events.clone())
    }

    pub(crate) fn holder(&self) -> Option<String> {
        self.with(|state| state.lease.as_ref().and_then(|lease| lease.holder.clone()))
    }

    fn refusal(&self) -> Result<(), ApiError> {
        match self.with(|state| state.fault) {
            Some(Fault::Away) => Err(ApiError::Failed("connection refused".to_owned())),
            Some(Fault::Forbidden) => Err(ApiError::Denied("forbidden".to_owned())),
            None => Ok(()),
        }
    }
}

/// An object of the namespace `muster`.
pub(crate) fn object(name: &str, version: u64, body: Value) -> Object {
    Object {
        name: name.to_owned(),
        namespace: Some("muster".to_owned()),
        uid: Some(format!("uid-{name}")),
        resource_version: version.to_string(),
        generation: 1,
        created_at_seconds: i64::try_from(version).expect("small"),
        body,
    }
}

#[async_trait]
impl Api for Scripted {
    async fn versions(&self, group: &str) -> Result<Vec<String>, ApiError> {
        self.refusal()?;
        let is_served = self.with(|state| state.groups.iter().any(|served| served == group));
        Ok(if is_served {
            vec!["v1alpha1".to_owned()]
        } else {
            Vec::new()
        })
    }

    async fn list(&self, watched: &Watched, _: Option<&str>) -> Result<ListPage, ApiError> {
        self.refusal()?;
        Ok(self.with(|state| {
            let objects = match watched {
                Watched::Resources(..) => {
                    state.lists += 1;
                    state.objects.values().cloned().collect()
                }
                Watched::Secret(id) => state.secrets.get(&id.name).cloned().into_iter().collect(),
            };
            ListPage {
                objects,
                resource_version: state.version.to_string(),
                next: None,
            }
        }))
    }

    async fn watch(&self, watched: &Watched, version: &str) -> Result<WatchStream, ApiError> {
        self.refusal()?;
        let from: u64 = version.parse().expect("a version of ours");
        let of_secrets = matches!(watched, Watched::Secret(_));
        let receiver = self.changes.subscribe();
        let (missed, is_too_old) = self.with(|state| {
            if !of_secrets {
                state.watches += 1;
            }
            let objects = if of_secrets {
                &state.secrets
            } else {
                &state.objects
            };
            let is_newer = |object: &&Object| {
                object
                    .resource_version
                    .parse::<u64>()
                    .is_ok_and(|version| version > from)
            };
            let missed: Vec<Object> = objects.values().filter(is_newer).cloned().collect();
            (missed, from < state.oldest_version)
        });
        if is_too_old {
            return Err(ApiError::Expired);
        }
        let wanted = match watched {
            Watched::Secret(id) => Some(id.name.clone()),
            Watched::Resources(..) => None,
        };
        let missed =
            futures_util::stream::iter(missed.into_iter().map(|object| Ok(WatchEvent::Applied(object))));
        let live = futures_util::stream::unfold(receiver, move |mut receiver| {
            let wanted = wanted.clone();
            async move {
                loop {
                    let (is_secret, is_deleted, object) = receiver.recv().await.ok()?;
                    if object.name.is_empty() {
                        return None;
                    }
                    let is_ours =
                        is_secret == of_secrets && wanted.as_ref().is_none_or(|name| *name == object.name);
                    if is_ours
                        && object
                            .resource_version
                            .parse::<u64>()
                            .is_ok_and(|version| version > from)
                    {
                        let event = if is_deleted {
                            WatchEvent::Deleted(object)
                        } else {
                            WatchEvent::Applied(object)
                        };
                        return Some((Ok(event), receiver));
                    }
                }
            }
        });
        Ok(missed.chain(live).boxed())
    }

    async fn has_shared_conditions(&self, _: &'static Kind, _: &str) -> Result<bool, ApiError> {
        self.refusal()?;
        Ok(self.shared_conditions)
    }

    async fn patch_condition(&self, patch: &ConditionPatch) -> Result<(), ApiError> {
        self.refusal()?;
        self.with(|state| state.patches.push(patch.clone()));
        Ok(())
    }

    async fn publish(&self, event: &EventNote) -> Result<(), ApiError> {
        self.refusal()?;
        self.with(|state| state.events.push(event.clone()));
        Ok(())
    }

    async fn lease(&self, _: &LeaseName) -> Result<Option<LeaseRecord>, ApiError> {
        self.refusal()?;
        Ok(self.with(|state| state.lease.clone()))
    }

    async fn write_lease(&self, _: &LeaseName, record: &LeaseRecord) -> Result<(), ApiError> {
        self.refusal()?;
        self.with(|state| {
            let present = state
                .lease
                .as_ref()
                .and_then(|lease| lease.resource_version.clone());
            if present != record.resource_version {
                return Err(ApiError::Conflict);
            }
            state.version += 1;
            state.lease = Some(LeaseRecord {
                resource_version: Some(state.version.to_string()),
                ..record.clone()
            });
            Ok(())
        })
    }
}
