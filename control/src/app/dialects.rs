//! Which kind each issuer is, where neither the configuration nor its address shows it: its discovery document does.
//!
//! What was found is stored for all replicas, for a start while the issuer does not answer: a strict issuer must not be taken
//! for a tolerant one then.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use crate::config::{Config, DialectSource, IssuerConfig};
use crate::digest;
use crate::store::{Expected, Key, Store};
use crate::upstream::dialect::Dialect;
use crate::upstream::issuer::answer::RawAnswer;
use crate::upstream::issuer::client::{ClientUnusable, IssuerClient};
use crate::upstream::issuer::discovery::read_document;

/// How long a start or a reload waits for discovery documents.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often an issuer is tried again whose kind is not known.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How long the kind that was found is stored.
const STORED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Finds the kinds of issuers.
#[derive(Clone)]
pub(crate) struct Dialects {
    client: IssuerClient,
    store: Arc<dyn Store>,
}

impl Dialects {
    /// Finds kinds by discovery, and stores them in `store`.
    ///
    /// # Errors
    /// [`ClientUnusable`].
    pub(crate) fn new(store: Arc<dyn Store>) -> Result<Self, ClientUnusable> {
        Ok(Self {
            client: IssuerClient::new(PATIENCE)?,
            store,
        })
    }

    /// `config` with the kind of each issuer that shows none by its address: by its discovery document now, or by that of an
    /// earlier start. An issuer that neither shows counts as Dex until one does.
    ///
    /// What `before`, the configuration in force, has found already is not logged again.
    pub(crate) async fn settle(&self, config: Config, before: Option<&Config>) -> Config {
        let known = |issuer: &IssuerConfig| {
            let consoles = before.and_then(|config| config.console.as_ref());
            let mut issuers = (before.iter())
                .flat_map(|config| &config.issuers)
                .chain(consoles.map(|console| &console.client));
            let same = issuers.find(|known| known.issuer == issuer.issuer)?;
            (same.dialect_source == DialectSource::Document).then_some(same.dialect)
        };
        // At once: issuers that do not answer delay a start by one timeout, however many they are.
        let tasks: Vec<_> = config
            .issuers
            .into_iter()
            .map(|issuer| {
                let (dialects, known, as_configured) = (self.clone(), known(&issuer), issuer.clone());
                let task = tokio::spawn(async move { dialects.settled(issuer, known).await });
                (as_configured, task)
            })
            .collect();
        let mut issuers = Vec::with_capacity(tasks.len());
        for (as_configured, task) in tasks {
            issuers.push(task.await.unwrap_or(as_configured));
        }
        let console = match config.console {
            Some(mut console) => {
                let known = known(&console.client);
                console.client = self.settled(console.client, known).await;
                Some(console)
            }
            None => None,
        };
        Config {
            issuers,
            console,
            ..config
        }
    }

    async fn settled(&self, issuer: IssuerConfig, known: Option<Dialect>) -> IssuerConfig {
        if issuer.dialect_source != DialectSource::Default {
            return issuer;
        }
        let found = match self.of_document(&issuer.issuer).await {
            Some(dialect) => Some(dialect),
            None => self.stored(&issuer.issuer).await,
        };
        let Some(dialect) = found else {
            tracing::warn!(
                issuer = issuer.issuer,
                "the issuer's discovery document cannot be read, so its kind is not known: it counts as Dex until it answers; \
                 set issuers[].dialect"
            );
            return issuer;
        };
        let issuer = issuer.of_dialect(dialect, DialectSource::Document);
        if known != Some(dialect) {
            tracing::info!(
                issuer = issuer.issuer,
                dialect = dialect.name(),
                refresh_tokens = issuer.refresh_tokens.name(),
                "the discovery document shows the kind of the issuer"
            );
        }
        issuer
    }

    /// Returns as soon as one of these issuers, whose kinds were not known ([`unknown`]), shows it.
    pub(crate) async fn until_known(&self, unknown: &[String]) {
        if unknown.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(TRY_AGAIN).await;
            for issuer in unknown {
                if self.of_document(issuer).await.is_some() {
                    return;
                }
            }
        }
    }

    /// The kind that the issuer's discovery document shows, also that it is none of the known products. It is stored.
    async fn of_document(&self, issuer: &str) -> Option<Dialect> {
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let url = Url::parse(&address).ok()?;
        let dialect = kind_of(issuer, &self.client.get(&url).await.ok()?)?;
        let (key, value) = (key(issuer), dialect.name().as_bytes());
        let written = self
            .store
            .write(&key, Expected::Any, value, Some(STORED_FOR))
            .await;
        if let Err(error) = written {
            tracing::debug!(%error, "the kind of an issuer was not stored");
        }
        Some(dialect)
    }

    async fn stored(&self, issuer: &str) -> Option<Dialect> {
        let entry = self.store.read(&key(issuer)).await.ok()??;
        Dialect::from_name(std::str::from_utf8(&entry.value).ok()?)
    }
}

/// The issuers of `config` whose kind is not known.
pub(crate) fn unknown(config: &Config) -> Vec<String> {
    let issuers = config.issuers.iter();
    issuers
        .filter(|issuer| issuer.dialect_source == DialectSource::Default)
        .map(|issuer| issuer.issuer.clone())
        .collect()
}

fn key(issuer: &str) -> Key {
    Key::new(
        "issuer_dialect",
        &digest::hex_of_parts(&["issuer_dialect", issuer]),
    )
}

/// The kind that a response with the discovery document of `issuer` shows; `None` if it has no such document.
fn kind_of(issuer: &str, answer: &RawAnswer) -> Option<Dialect> {
    if answer.status != 200 || read_document(issuer, &answer.body).is_err() {
        return None;
    }
    let body = answer.body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&answer.body);
    let document = serde_json::from_slice::<Map<String, Value>>(body).ok()?;
    Some(Dialect::of_document(&document).unwrap_or(Dialect::Standard))
}
