//! The API server, by kube.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use http::Request;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind, WatchEvent as KubeEvent};
use kube::{Client, Config};
use serde_json::Value;

use super::objects::{self, condition_body, event_body, lease_body, object, repeated_event_body};
use super::{ApiError, ListPage, WatchEvent, WatchStream, Watched};
use crate::kind::Kind;
use crate::leader::{LeaseName, LeaseRecord};
use crate::report::{ConditionPatch, EventNote, MANAGER};

/// How long a call may take, a watch aside.
const DEADLINE: Duration = Duration::from_secs(20);
/// The requested lifetime of a watch. A connection that was dropped silently is noticed after it.
const WATCH_SECONDS: u32 = 60;
/// Objects of one page.
const PAGE: u32 = 250;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not in a pod, and no kubeconfig is named.
    #[error("not in a pod with a service account ({0})")]
    NotInCluster(String),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {path} cannot be used: {cause}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The client cannot be built.
    #[error("the client for the API server cannot be built: {0}")]
    Client(String),
}

/// A client of the API server.
pub struct KubeApi {
    client: Client,
    /// The name of this process, in Events.
    instance: String,
}

impl KubeApi {
    /// The API server that `kubeconfig` names, or that of the cluster that this pod runs in. Nothing is called yet.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(kubeconfig: Option<&PathBuf>, instance: String) -> Result<Self, ConnectError> {
        let mut config = match kubeconfig {
            None => Config::incluster().map_err(|error| ConnectError::NotInCluster(error.to_string()))?,
            Some(path) => {
                let unusable = |cause: String| ConnectError::Kubeconfig {
                    path: path.clone(),
                    cause,
                };
                let file = Kubeconfig::read_from(path).map_err(|error| unusable(error.to_string()))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| unusable(error.to_string()))?
            }
        };
        config.connect_timeout = Some(Duration::from_secs(5));
        // Attempts are repeated here, with a backoff of their own.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| ConnectError::Client(error.to_string()))?;
        Ok(Self { client, instance })
    }

    fn api(&self, watched: &Watched) -> Api<DynamicObject> {
        match watched {
            Watched::Resources(source, version) => {
                let resource = resource(source.kind, version);
                match &source.namespace {
                    Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
                    None => Api::all_with(self.client.clone(), &resource),
                }
            }
            Watched::Secret(id) => self.namespaced("", "v1", "Secret", "secrets", &id.namespace),
        }
    }

    fn namespaced(
        &self,
        group: &str,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(group, version, kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    fn leases(&self, namespace: &str) -> Api<DynamicObject> {
        self.namespaced("coordination.k8s.io", "v1", "Lease", "leases", namespace)
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let request = Request::get(path)
            .body(Vec::new())
            .map_err(|error| ApiError::Failed(error.to_string()))?;
        within(self.client.request(request)).await
    }
}

fn resource(kind: &Kind, version: &str) -> ApiResource {
    let of = GroupVersionKind::gvk(kind.group, version, kind.name);
    ApiResource::from_gvk_with_plural(&of, kind.plural)
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(result) => result.map_err(ApiError::from),
        Err(_) => Err(ApiError::Failed(format!(
            "no answer within {} s",
            DEADLINE.as_secs()
        ))),
    }
}

/// The selectors of a list. RBAC that names a Secret allows lists and watches with its name as the field selector.
fn selectors(watched: &Watched) -> (Option<String>, Option<String>) {
    match watched {
        Watched::Resources(source, _) => (source.label_selector.clone(), None),
        Watched::Secret(id) => (None, Some(format!("metadata.name={}", id.name))),
    }
}

#[async_trait]
impl super::Api for KubeApi {
    async fn versions(&self, group: &str) -> Result<Vec<String>, ApiError> {
        match self.get(&format!("/apis/{group}")).await {
            Ok(answer) => Ok(objects::versions(&answer)),
            Err(ApiError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn list(&self, watched: &Watched, from: Option<&str>) -> Result<ListPage, ApiError> {
        let (label_selector, field_selector) = selectors(watched);
        let params = ListParams {
            label_selector,
            field_selector,
            limit: Some(PAGE),
            continue_token: from.map(str::to_owned),
            ..ListParams::default()
        };
        let list = within(self.api(watched).list(&params)).await?;
        let next = list.metadata.continue_.filter(|next| !next.is_empty());
        Ok(ListPage {
            objects: list.items.into_iter().filter_map(object).collect(),
            resource_version: list.metadata.resource_version.unwrap_or_default(),
            next,
        })
    }

    async fn watch(&self, watched: &Watched, resource_version: &str) -> Result<WatchStream, ApiError> {
        let (label_selector, field_selector) = selectors(watched);
        let params = WatchParams {
            label_selector,
            field_selector,
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let api = self.api(watched);
        let stream = within(api.watch(&params, resource_version)).await?;
        let events = stream.filter_map(|event| async move {
            match event {
                Ok(KubeEvent::Added(found) | KubeEvent::Modified(found)) => {
                    object(found).map(|found| Ok(WatchEvent::Applied(found)))
                }
                Ok(KubeEvent::Deleted(found)) => object(found).map(|found| Ok(WatchEvent::Deleted(found))),
                Ok(KubeEvent::Bookmark(bookmark)) => {
                    Some(Ok(WatchEvent::Bookmark(bookmark.metadata.resource_version)))
                }
                Ok(KubeEvent::Error(status)) => Some(Err(ApiError::of_status(&status))),
                Err(error) => Some(Err(error.into())),
            }
        });
        Ok(events.boxed())
    }

    async fn has_shared_conditions(&self, kind: &'static Kind, version: &str) -> Result<bool, ApiError> {
        let schemas = self
            .get(&format!("/openapi/v3/apis/{}/{version}", kind.group))
            .await?;
        Ok(objects::has_shared_conditions(&schemas, kind, version))
    }

    async fn patch_condition(&self, patch: &ConditionPatch) -> Result<(), ApiError> {
        let of = resource(patch.resource.kind, &patch.version);
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &patch.resource.namespace, &of);
        let body = condition_body(patch, &objects::now());
        let params = PatchParams::apply(MANAGER).force();
        within(api.patch_status(&patch.resource.name, &params, &Patch::Apply(&body))).await?;
        Ok(())
    }

    async fn publish(&self, event: &EventNote) -> Result<(), ApiError> {
        let namespace = &event.resource.namespace;
        let api = self.namespaced("events.k8s.io", "v1", "Event", "events", namespace);
        let now = objects::now();
        let created = serde_json::from_value(event_body(event, &self.instance, &now))
            .map_err(|error| ApiError::Failed(error.to_string()))?;
        match within(api.create(&PostParams::default(), &created)).await {
            Err(ApiError::Conflict) => {
                let body = repeated_event_body(&now);
                let params = PatchParams::default();
                within(api.patch(&event.name, &params, &Patch::Merge(&body))).await?;
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn lease(&self, name: &LeaseName) -> Result<Option<LeaseRecord>, ApiError> {
        match within(self.leases(&name.namespace).get(&name.name)).await {
            Ok(found) => Ok(Some(objects::lease(&found))),
            Err(ApiError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write_lease(&self, name: &LeaseName, record: &LeaseRecord) -> Result<(), ApiError> {
        let api = self.leases(&name.namespace);
        let body: DynamicObject = serde_json::from_value(lease_body(name, record, &objects::now()))
            .map_err(|error| ApiError::Failed(error.to_string()))?;
        let params = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        match record.resource_version {
            None => within(api.create(&params, &body)).await.map(drop),
            Some(_) => within(api.replace(&name.name, &params, &body)).await.map(drop),
        }
    }
}
