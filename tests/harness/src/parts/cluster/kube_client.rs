//! A client of the API server: what `kubectl apply --server-side`, `get`, `delete` and `auth` do, for tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::documents;
use crate::secrets;

/// How often a resource is read while a condition of it is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// The field manager of everything that tests apply.
const MANAGER: &str = "tests";

/// Which resource is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<'a> {
    /// `group/version`, or `v1`.
    pub api: &'a str,
    /// `kind`.
    pub kind: &'a str,
    /// Empty for resources of the whole cluster.
    pub namespace: &'a str,
    /// `metadata.name`.
    pub name: &'a str,
}

/// An answer of the API server.
#[derive(Debug, Clone)]
pub struct KubeAnswer {
    /// HTTP status.
    pub status: u16,
    /// The resource, or a `Status` with reason and message.
    pub body: Value,
}

/// A user of the API server.
#[derive(Debug, Clone)]
pub struct KubeClient {
    http: reqwest::Client,
    url: String,
    token: String,
    user: Option<String>,
    /// `api kind` → plural, and whether it is in a namespace.
    kinds: Arc<Mutex<HashMap<String, (String, bool)>>>,
}

impl KubeAnswer {
    /// The resource.
    ///
    /// # Errors
    /// The API server's message, when it refused.
    pub fn accepted(self) -> anyhow::Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.message()
        );
        Ok(self.body)
    }

    /// The message of a refusal.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl KubeClient {
    pub(super) fn new(url: &str, authority: &str, token: &str) -> anyhow::Result<Self> {
        secrets::note(token);
        let authority = reqwest::Certificate::from_pem(authority.as_bytes())?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(LONGEST_ANSWER)
            .tls_certs_only([authority])
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            token: token.to_owned(),
            user: None,
            kinds: Arc::default(),
        })
    }

    /// The same API server as another user, with what RBAC grants to that name.
    pub fn acting_as(&self, user: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..self.clone()
        }
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        let request = self
            .http
            .get(format!("{}/readyz", self.url))
            .bearer_auth(&self.token);
        request
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
    }

    /// Any request; a body is sent as this content type.
    ///
    /// # Errors
    /// When the API server does not answer, or not with JSON.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, String)>,
    ) -> anyhow::Result<KubeAnswer> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(user) = &self.user {
            request = request.header("impersonate-user", user);
            request = request.header("impersonate-group", "system:authenticated");
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).with_context(|| format!("{path}: {status} {text}"))?;
        Ok(KubeAnswer { status, body })
    }

    /// Server-side apply with strict validation; JSON is YAML.
    ///
    /// # Errors
    /// When the API server does not answer, or the document has no kind and name.
    pub async fn try_apply(&self, resource: &Value) -> anyhow::Result<KubeAnswer> {
        let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str);
        let named = Named {
            api: text("/apiVersion").context("no apiVersion")?,
            kind: text("/kind").context("no kind")?,
            namespace: text("/metadata/namespace").unwrap_or_default(),
            name: text("/metadata/name").context("no name")?,
        };
        let path = self.path(named).await?;
        let query = format!("fieldManager={MANAGER}&force=true&fieldValidation=Strict");
        let body = ("application/apply-patch+yaml", resource.to_string());
        self.ask(Method::PATCH, &format!("{path}?{query}"), Some(body))
            .await
    }

    /// [`KubeClient::try_apply`], which must be accepted.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn apply(&self, resource: &Value) -> anyhow::Result<Value> {
        let answer = self.try_apply(resource).await?;
        answer
            .accepted()
            .with_context(|| format!("{} {}", resource["kind"], resource["metadata"]["name"]))
    }

    /// Applies every document of a YAML stream; those without a namespace that need one go into `namespace`.
    ///
    /// # Errors
    /// The API server's message about the first that it refuses.
    pub async fn apply_all(&self, stream: &str, namespace: &str) -> anyhow::Result<usize> {
        let mut count = 0;
        for document in documents(stream) {
            let mut resource: Value = serde_saphyr::from_str(&document.yaml)?;
            let api = resource["apiVersion"].as_str().context("no apiVersion")?;
            let (_, is_namespaced) = self.kind(api, &document.kind).await?;
            if is_namespaced && resource["metadata"]["namespace"].is_null() {
                resource["metadata"]["namespace"] = json!(namespace);
            }
            self.apply(&resource).await?;
            count += 1;
        }
        Ok(count)
    }

    /// The resource, if it is there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn get(&self, named: Named<'_>) -> anyhow::Result<Option<Value>> {
        let answer = self.ask(Method::GET, &self.path(named).await?, None).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        answer.accepted().map(Some)
    }

    /// All of a kind; `namespace` empty for all namespaces.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn list(&self, api: &str, kind: &str, namespace: &str) -> anyhow::Result<Vec<Value>> {
        let path = self.collection(api, kind, namespace).await?;
        let mut list = self.ask(Method::GET, &path, None).await?.accepted()?;
        let Value::Array(mut items) = list["items"].take() else {
            bail!("{path} is no list")
        };
        for item in &mut items {
            // Items of a list do not repeat it.
            item["apiVersion"] = json!(api);
            item["kind"] = json!(kind);
        }
        Ok(items)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// When the API server refuses, or there is none.
    pub async fn delete(&self, named: Named<'_>) -> anyhow::Result<()> {
        let answer = self.ask(Method::DELETE, &self.path(named).await?, None).await?;
        answer.accepted()?;
        Ok(())
    }

    /// Changes fields of its status, as a controller does.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn set_status(&self, named: Named<'_>, status: &Value) -> anyhow::Result<Value> {
        let path = format!("{}/status", self.path(named).await?);
        let body = (
            "application/merge-patch+json",
            json!({"status": status}).to_string(),
        );
        self.ask(Method::PATCH, &path, Some(body)).await?.accepted()
    }

    /// Waits until the resource is there and `is_met` holds of it.
    ///
    /// # Errors
    /// When that is not so within `limit`, with the resource as it is then.
    pub async fn wait_for(
        &self,
        named: Named<'_>,
        limit: Duration,
        is_met: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + limit;
        loop {
            let present = self.get(named).await?;
            if let Some(resource) = present.as_ref().filter(|resource| is_met(resource)) {
                return Ok(resource.clone());
            }
            if Instant::now() > until {
                let shown = present.map_or_else(|| "there is none".to_owned(), |it| format!("{it:#}"));
                bail!("{named:?}: not within {limit:?}: {shown}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn create_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.apply(&namespace).await.map(|_| ())
    }

    /// A token of a ServiceAccount, as the kubelet gets it for a pod.
    ///
    /// # Errors
    /// When there is no such ServiceAccount.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        });
        let body = ("application/json", request.to_string());
        let answer = self.ask(Method::POST, &path, Some(body)).await?.accepted()?;
        let token = answer["status"]["token"].as_str().context("no token")?;
        secrets::note(token);
        Ok(token.to_owned())
    }

    /// The path of a resource.
    ///
    /// # Errors
    /// When the API server has no such kind.
    pub async fn path(&self, named: Named<'_>) -> anyhow::Result<String> {
        let collection = self.collection(named.api, named.kind, named.namespace).await?;
        Ok(format!("{collection}/{}", named.name))
    }

    async fn collection(&self, api: &str, kind: &str, namespace: &str) -> anyhow::Result<String> {
        let (plural, is_namespaced) = self.kind(api, kind).await?;
        let root = root(api);
        Ok(if is_namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{namespace}/{plural}")
        } else {
            format!("{root}/{plural}")
        })
    }

    async fn kind(&self, api: &str, kind: &str) -> anyhow::Result<(String, bool)> {
        let key = format!("{api} {kind}");
        let kinds = || self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kinds().get(&key) {
            return Ok(known.clone());
        }
        // Every authenticated user may discover.
        let listed = self.ask(Method::GET, &root(api), None).await?.accepted()?;
        let resources = listed["resources"].as_array().into_iter().flatten();
        let found = resources
            .filter(|resource| resource["kind"] == kind)
            .find_map(|resource| {
                let plural = resource["name"].as_str().filter(|name| !name.contains('/'))?;
                Some((plural.to_owned(), resource["namespaced"].as_bool()?))
            })
            .with_context(|| format!("no matches for kind {kind} in {api}"))?;
        kinds().insert(key, found.clone());
        Ok(found)
    }
}

fn root(api: &str) -> String {
    if api.contains('/') {
        format!("/apis/{api}")
    } else {
        format!("/api/{api}")
    }
}
