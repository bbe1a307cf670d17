//! The list in the store: what a process starts with while the API server is away.
//!
//! It holds the resources that were servers, with the credentials that their Secrets had, sealed as a whole.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokenward_kubernetes::{Kind, Resource, ResourceId, SecretRead, SecretReference, Snapshot};

use super::{Good, LastGood};
use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::record::sealed::{self, Sealed};
use crate::store::{Expected, Key, Store, StoreError};

const FORMAT: u8 = 1;
const FIELD: &str = "resources";

/// The key of the list.
fn key() -> Key {
    Key::new("kubernetes", "resources")
}

#[derive(Serialize, Deserialize)]
struct ListRecord {
    format: u8,
    sealed: Sealed,
}

#[derive(Serialize, Deserialize)]
struct StoredResource {
    group: String,
    kind: String,
    namespace: String,
    name: String,
    uid: String,
    version: String,
    created_at_seconds: i64,
    generation: i64,
    /// JSON.
    spec: String,
    /// The values of the Secret that it names.
    secret: Vec<(String, String)>,
}

/// Stores the resources that are servers.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn save(store: &dyn Store, ring: &KeyRing, good: &LastGood) -> Result<(), StoreError> {
    let resources: Vec<StoredResource> = good.values().map(StoredResource::of).collect();
    let record = ListRecord {
        format: FORMAT,
        sealed: sealed::seal_value(ring, &key(), FIELD, &resources)?,
    };
    let bytes = codec::encode("serialize list of resources", &record)?;
    store.write(&key(), Expected::Any, &bytes, None).await.map(drop)
}

/// The list that was stored last, if there is one.
///
/// # Errors
/// [`StoreError`].
pub(crate) async fn load(store: &dyn Store, ring: &KeyRing) -> Result<Option<Snapshot>, StoreError> {
    let Some(entry) = store.read(&key()).await? else {
        return Ok(None);
    };
    let record: ListRecord = codec::decode(FORMAT, &key(), &entry.value)?;
    let stored: Vec<StoredResource> = sealed::open_value(ring, &key(), FIELD, &record.sealed)?;
    let mut snapshot = Snapshot::default();
    for stored in stored {
        let Some((resource, secret)) = stored.restored() else {
            continue;
        };
        if let Some(reference) = SecretReference::of(&resource) {
            // Several resources may name one Secret, each its own keys.
            let known = snapshot.secrets.entry(reference.secret).or_default();
            match known {
                SecretRead::Present(values) => values.extend(secret),
                _ => *known = SecretRead::Present(secret),
            }
        }
        snapshot.resources.push(resource);
    }
    snapshot
        .resources
        .sort_by(|one, other| one.age().cmp(&other.age()));
    Ok(Some(snapshot))
}

impl StoredResource {
    fn of(good: &Good) -> Self {
        let resource = &good.resource;
        let reference = SecretReference::of(resource);
        let used = |key: &String| {
            reference.as_ref().is_some_and(|reference| {
                [&reference.client_id_key, &reference.client_secret_key].contains(&key)
            })
        };
        let values = match &good.secret {
            Some((_, SecretRead::Present(values))) => values
                .iter()
                .filter(|(key, _)| used(key))
                .map(|(key, value)| (key.clone(), value.expose_secret().to_owned()))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            group: resource.id.kind.group.to_owned(),
            kind: resource.id.kind.name.to_owned(),
            namespace: resource.id.namespace.clone(),
            name: resource.id.name.clone(),
            uid: resource.uid.clone(),
            version: resource.version.clone(),
            created_at_seconds: resource.created_at_seconds,
            generation: resource.generation,
            spec: resource.spec.to_string(),
            secret: values,
        }
    }

    /// `None`: a kind that this version does not know.
    fn restored(self) -> Option<(Resource, BTreeMap<String, SecretString>)> {
        let values = self
            .secret
            .into_iter()
            .map(|(key, value)| (key, SecretString::from(value)));
        let secret = values.collect();
        let resource = Resource {
            id: ResourceId {
                kind: Kind::find(&self.group, &self.kind)?,
                namespace: self.namespace,
                name: self.name,
            },
            uid: self.uid,
            version: self.version,
            created_at_seconds: self.created_at_seconds,
            generation: self.generation,
            spec: serde_json::from_str(&self.spec).ok()?,
            condition: None,
        };
        Some((resource, secret))
    }
}
