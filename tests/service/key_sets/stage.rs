//! A place for an issuer's key set that is not the issuer's own: a cache, or an odd publisher.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::http::HeaderMap;
use axum::routing::get;
use serde_json::{Value, json};
use tokenward_control::config::Config;
use tokenward_control::serve::reload::apply;
use tokio::task::JoinHandle;

use crate::deployment::{Deployment, Plan};

/// What is published, and what was requested.
#[derive(Default)]
struct Published {
    document: Value,
    headers: Vec<(&'static str, String)>,
    fetches: usize,
    /// `Cache-Control` of the last request.
    asked: Option<String>,
}

/// Serves a key set that a test writes.
pub(super) struct KeyServer {
    published: Arc<Mutex<Published>>,
    uri: String,
    serving: JoinHandle<()>,
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl KeyServer {
    async fn start() -> anyhow::Result<Self> {
        let published = Arc::new(Mutex::new(Published::default()));
        let shared = Arc::clone(&published);
        let keys = move |request: HeaderMap| async move {
            let mut published = shared.lock().unwrap_or_else(PoisonError::into_inner);
            published.fetches += 1;
            let asked = request.get("cache-control").and_then(|value| value.to_str().ok());
            published.asked = asked.map(str::to_owned);
            let mut headers = HeaderMap::new();
            for (name, value) in &published.headers {
                headers.insert(*name, value.parse().expect("a header's value"));
            }
            (headers, published.document.to_string())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let uri = format!("http://{}/keys", listener.local_addr()?);
        let router = axum::Router::new().route("/keys", get(keys));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            published,
            uri,
            serving,
        })
    }

    pub(super) fn publish(&self, document: Value, headers: &[(&'static str, &str)]) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.document = document;
        let owned = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        published.headers = owned.collect();
    }

    pub(super) fn fetches(&self) -> usize {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fetches
    }

    pub(super) fn asked(&self) -> Option<String> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.asked.clone()
    }
}

/// A service that takes its issuer's keys from a [`KeyServer`], which has the issuer's own set.
pub(super) struct Stage {
    pub(super) control: Deployment,
    pub(super) keys: KeyServer,
}

impl Stage {
    pub(super) async fn set(plan: Plan) -> anyhow::Result<Self> {
        let control = Deployment::start(plan).await?;
        let stage = Self {
            control,
            keys: KeyServer::start().await?,
        };
        stage.keys.publish(issuers_own(&stage.control).await?, &[]);
        stage.configure(|_| ())?;
        Ok(stage)
    }

    /// Applies a configuration that names the [`KeyServer`], with one more `change` of the issuer.
    pub(super) fn configure(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<()> {
        let changed = self.changed(|document| change(&mut document["issuers"][0]))?;
        apply(self.control.service(0), changed)?;
        Ok(())
    }

    /// A configuration that names the [`KeyServer`], with one more `change`.
    pub(super) fn changed(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<Config> {
        self.control.changed(|document| {
            document["issuers"][0]["jwks_uri"] = json!(self.keys.uri);
            change(document);
        })
    }
}

/// The set that the issuer itself publishes now.
pub(super) async fn issuers_own(control: &Deployment) -> anyhow::Result<Value> {
    let answer = control.http.get(control.dex.jwks_uri()).send().await?;
    serde_json::from_slice(&answer.bytes().await?).context("the issuer's key set")
}
