//! The present list, made of what the watches report. Pure: time and events come in, and what has settled comes out.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{ApiError, Object};
use crate::kind::Source;
use crate::resource::{Resource, ResourceId};
use crate::secret::{SecretId, SecretRead, SecretReference};
use crate::snapshot::{Snapshot, SourceState};

/// Resources of all lists together. The newest are left out, so that more resources cannot displace what is in use.
pub const MOST_RESOURCES: usize = 1_000;
/// Secrets that are watched, one connection each.
pub const MOST_SECRETS: usize = 256;
/// Changes are collected until none has come for this long …
const QUIET_MS: u64 = 200;
/// … but not longer than this: a list that changes all the time still reaches control.
const LONGEST_WAIT_MS: u64 = 1_000;
/// How long a list waits for Secrets that have not been read yet.
const SECRETS_WAIT_MS: u64 = 5_000;
/// A kind that is no longer served keeps its resources for this long: an API server that has just started, or lost a part
/// of its discovery, answers the same.
const UNINSTALLED_AFTER_MS: u64 = 60_000;

/// What a watch reports.
#[derive(Debug, Clone)]
pub enum Change {
    /// The whole list.
    Listed(Source, Vec<Resource>),
    /// A resource was added or changed.
    Applied(Source, Box<Resource>),
    /// A resource was deleted.
    Deleted(Source, ResourceId),
    /// The API server answered, and nothing changed.
    Answered(Source),
    /// The kind is not served.
    NotInstalled(Source),
    /// The list or its watch failed.
    Failed(Source, ApiError),
    /// What is known of a Secret.
    Secret(SecretId, SecretRead),
}

impl Change {
    /// The resource in `object`, added or changed.
    #[must_use]
    pub fn applied(source: &Source, version: &str, object: &Object) -> Option<Self> {
        let resource = Resource::read(source.kind, version, object)?;
        Some(Self::Applied(source.clone(), Box::new(resource)))
    }
}

#[derive(Debug, Default)]
struct List {
    resources: BTreeMap<ResourceId, Resource>,
    is_listed: bool,
    is_installed: Option<bool>,
    uninstalled_at_ms: Option<u64>,
    answered_at_ms: Option<u64>,
    fault: Option<String>,
}

/// The state of all watches.
#[derive(Debug)]
pub struct Collection {
    lists: BTreeMap<Source, List>,
    secrets: BTreeMap<SecretId, SecretRead>,
    /// The first and the last change that has not been published.
    changed_ms: Option<(u64, u64)>,
    /// Since when a Secret is awaited.
    unread_since_ms: Option<u64>,
    published: Option<Snapshot>,
}

impl Collection {
    /// A collection of these lists; none is known yet. A kind that is not served keeps the list waiting for a while from
    /// `now_ms` on if `has_earlier_list`: what an earlier process knew must not be dropped for a hiccup.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = Source>, has_earlier_list: bool, now_ms: u64) -> Self {
        let list = || List {
            uninstalled_at_ms: (!has_earlier_list).then(|| now_ms.saturating_sub(UNINSTALLED_AFTER_MS)),
            ..List::default()
        };
        Self {
            lists: sources.into_iter().map(|source| (source, list())).collect(),
            secrets: BTreeMap::new(),
            changed_ms: None,
            unread_since_ms: None,
            published: None,
        }
    }

    /// Takes a change at `now_ms`, by the wall clock: it is shown to operators.
    pub fn take(&mut self, change: Change, now_ms: u64) {
        let changes_something = match change {
            Change::Secret(id, read) => self.secrets.insert(id, read.clone()).as_ref() != Some(&read),
            Change::Listed(source, resources) => self.with(&source, now_ms, |list| {
                let listed: BTreeMap<_, _> = resources
                    .into_iter()
                    .map(|resource| (resource.id.clone(), resource))
                    .collect();
                let is_the_same = list.is_listed
                    && list.resources.len() == listed.len()
                    && list
                        .resources
                        .values()
                        .zip(listed.values())
                        .all(|(one, other)| one.means_the_same(other));
                list.resources = listed;
                list.is_listed = true;
                list.is_installed = Some(true);
                list.uninstalled_at_ms = None;
                !is_the_same
            }),
            Change::Applied(source, resource) => self.with(&source, now_ms, |list| {
                let before = list.resources.get(&resource.id);
                let is_the_same = before.is_some_and(|before| before.means_the_same(&resource));
                list.resources.insert(resource.id.clone(), *resource);
                !is_the_same
            }),
            Change::Deleted(source, id) => {
                self.with(&source, now_ms, |list| list.resources.remove(&id).is_some())
            }
            Change::Answered(source) => self.with(&source, now_ms, |_| false),
            Change::NotInstalled(source) => self.with(&source, now_ms, |list| {
                let since = *list.uninstalled_at_ms.get_or_insert(now_ms);
                list.is_installed = Some(false);
                let is_over = now_ms.saturating_sub(since) >= UNINSTALLED_AFTER_MS;
                let changes = is_over && !(list.is_listed && list.resources.is_empty());
                if changes {
                    list.resources.clear();
                    list.is_listed = true;
                }
                changes
            }),
            Change::Failed(source, error) => {
                if let Some(list) = self.lists.get_mut(&source) {
                    list.fault = Some(error.to_string());
                }
                false
            }
        };
        if changes_something {
            let first = self.changed_ms.map_or(now_ms, |(first, _)| first);
            self.changed_ms = Some((first, now_ms));
        }
    }

    fn with(&mut self, source: &Source, now_ms: u64, change: impl FnOnce(&mut List) -> bool) -> bool {
        let Some(list) = self.lists.get_mut(source) else {
            return false;
        };
        list.answered_at_ms = Some(now_ms);
        list.fault = None;
        change(list)
    }

    /// The Secrets that the resources name, in their own namespaces: what is to be watched. Others are forgotten.
    pub fn wanted_secrets(&mut self) -> BTreeSet<SecretId> {
        let (resources, _) = self.resources();
        let mut wanted = BTreeSet::new();
        for resource in resources {
            let reference =
                SecretReference::of(resource).filter(|reference| reference.is_in_the_namespace_of(resource));
            if wanted.len() < MOST_SECRETS {
                wanted.extend(reference.map(|reference| reference.secret));
            }
        }
        self.secrets.retain(|id, _| wanted.contains(id));
        for id in &wanted {
            self.secrets.entry(id.clone()).or_default();
        }
        wanted
    }

    /// The list to publish at `now_ms`, if it has settled and differs from the last one.
    pub fn settled(&mut self, now_ms: u64) -> Option<Snapshot> {
        let (first_ms, last_ms) = self.changed_ms?;
        if !self.lists.values().all(|list| list.is_listed) {
            return None;
        }
        let is_quiet = now_ms.saturating_sub(last_ms) >= QUIET_MS;
        if !is_quiet && now_ms.saturating_sub(first_ms) < LONGEST_WAIT_MS {
            return None;
        }
        self.wanted_secrets();
        if self.secrets.values().any(|read| *read == SecretRead::Pending) {
            let since = *self.unread_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since) < SECRETS_WAIT_MS {
                return None;
            }
        }
        self.unread_since_ms = None;
        self.changed_ms = None;
        let (resources, omitted) = self.resources();
        let snapshot = Snapshot {
            resources: resources.into_iter().cloned().collect(),
            secrets: self.secrets.clone(),
            omitted,
        };
        if self.published.as_ref() == Some(&snapshot) {
            return None;
        }
        self.published = Some(snapshot.clone());
        Some(snapshot)
    }

    /// The resources of all lists, the oldest first, and how many are left out. A resource that two lists have counts once.
    fn resources(&self) -> (Vec<&Resource>, usize) {
        let all: BTreeMap<_, _> = self.lists.values().flat_map(|list| &list.resources).collect();
        let mut resources: Vec<&Resource> = all.into_values().collect();
        resources.sort_by_key(|resource| resource.age());
        let omitted = resources.len().saturating_sub(MOST_RESOURCES);
        resources.truncate(MOST_RESOURCES);
        (resources, omitted)
    }

    /// How each list is doing.
    #[must_use]
    pub fn states(&self) -> Vec<SourceState> {
        let state = |(source, list): (&Source, &List)| SourceState {
            source: source.clone(),
            resources: list.resources.len(),
            is_installed: list.is_installed,
            answered_at_ms: list.answered_at_ms,
            fault: list.fault.clone(),
        };
        self.lists.iter().map(state).collect()
    }

    /// The present condition of a resource, which changes without a new list.
    #[must_use]
    pub fn resource(&self, id: &ResourceId) -> Option<&Resource> {
        self.lists.values().find_map(|list| list.resources.get(id))
    }
}
