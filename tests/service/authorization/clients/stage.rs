//! Clients of a configuration, with a clock that the test moves and names that it resolves.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokenward_control::app::key_ring;
use tokenward_control::authorization::client::metadata_document::fetch::Resolver;
use tokenward_control::authorization::client::{Client, Clients};
use tokenward_control::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use tokenward_control::authorization::source::Source;
use tokenward_control::clock::HandClock;
use tokenward_control::config::Config;
use tokenward_control::context::Context;
use tokenward_control::filter_state::SignOutLog;
use tokenward_control::observe::metrics::Metrics;
use tokenward_control::upstream::issuer::client::IssuerClient;

use crate::authorization::stage::plan;
use crate::deployment::Deployment;

/// 2027: after every certificate and before every expiry here.
pub(super) const NOW_MS: u64 = 1_800_000_000_000;

/// A name, the answers to its look-ups in order (the last one is repeated), and how many there were.
type Name = (String, VecDeque<Vec<IpAddr>>, usize);

/// The names that resolve.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Vec<Name>>);

impl Names {
    pub(super) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let parse = |answer: &&[&str]| {
            answer
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect()
        };
        let names = names.iter().map(|(name, answers)| {
            let answers: VecDeque<Vec<IpAddr>> = answers.iter().map(parse).collect();
            ((*name).to_owned(), answers, 0)
        });
        Arc::new(Self(Mutex::new(names.collect())))
    }

    /// How often `name` was resolved.
    pub(super) fn look_ups(&self, name: &str) -> usize {
        let names = self.0.lock().expect("no panic elsewhere");
        names
            .iter()
            .find(|entry| entry.0 == name)
            .map_or(0, |entry| entry.2)
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let mut names = self.0.lock().expect("no panic elsewhere");
        let entry = names.iter_mut().find(|entry| entry.0 == host);
        let (_, answers, look_ups) = entry.ok_or_else(|| std::io::Error::other("no such name"))?;
        *look_ups += 1;
        let next = if answers.len() > 1 {
            answers.pop_front()
        } else {
            answers.front().cloned()
        };
        next.ok_or_else(|| std::io::Error::other("no answer"))
    }
}

/// The clients of one replica.
pub(super) struct Stage {
    pub(super) clients: Clients,
    pub(super) clock: Arc<HandClock>,
    pub(super) metrics: Metrics,
    /// Holds the store.
    pub(super) deployment: Deployment,
}

impl Stage {
    /// Clients with `metadata_documents` as configured, whose hosts `names` resolves.
    pub(super) async fn new(metadata_documents: Value, names: Arc<Names>) -> anyhow::Result<Self> {
        let clients = json!({"clients": {"metadata_documents": metadata_documents}});
        Self::of(Deployment::start(plan(&clients)?).await?, names)
    }

    /// The clients of `deployment`.
    pub(super) fn of(deployment: Deployment, names: Arc<Names>) -> anyhow::Result<Self> {
        let clock = Arc::new(HandClock::at(NOW_MS));
        let metrics = Metrics::default();
        let clients = clients_of(&deployment, &clock, &metrics, names)?;
        Ok(Self {
            clients,
            clock,
            metrics,
            deployment,
        })
    }

    /// Clients that may fetch from this machine.
    pub(super) async fn local() -> anyhow::Result<Self> {
        let local = json!({"hosts": ["127.0.0.1"], "allow_private_addresses": true});
        Self::new(local, Names::new(&[])).await
    }

    /// The clients after a reload.
    pub(super) fn reloaded(&self) -> anyhow::Result<Clients> {
        let config = self.deployment.changed(|_| ())?;
        let authorization = config.authorization.clone().expect("it is configured");
        let context = context_of(&self.deployment, &config, &self.clock, &self.metrics)?;
        Ok(self.clients.succeeded_by(&authorization, &context)?)
    }

    /// The clients of another replica on the same store.
    pub(super) fn replica(&self) -> anyhow::Result<Clients> {
        clients_of(&self.deployment, &self.clock, &self.metrics, Names::new(&[]))
    }

    pub(super) async fn find(&self, client_id: &str) -> Result<Client, AuthorizationRefusal> {
        let found = self.clients.find(client_id, source(1)).await;
        found.map_err(|error| AuthorizationRefused::from(error).refusal)
    }

    /// How often documents were looked up with this outcome.
    pub(super) fn counted(&self, outcome: &str) -> u64 {
        let exposition = self.metrics.exposition();
        let start = format!("tokenward_client_documents_total{{outcome=\"{outcome}\"}} ");
        let value = exposition.lines().find_map(|line| line.strip_prefix(&start));
        value.map_or(0, |value| value.parse().expect("a number"))
    }
}

fn clients_of(
    deployment: &Deployment,
    clock: &Arc<HandClock>,
    metrics: &Metrics,
    names: Arc<Names>,
) -> anyhow::Result<Clients> {
    let config = deployment.changed(|_| ())?;
    let context = context_of(deployment, &config, clock, metrics)?;
    let authorization = config.authorization.expect("it is configured");
    Ok(Clients::with_resolver(&authorization, &context, names)?)
}

fn context_of(
    deployment: &Deployment,
    config: &Config,
    clock: &Arc<HandClock>,
    metrics: &Metrics,
) -> anyhow::Result<Context> {
    Ok(Context {
        client: IssuerClient::new(Duration::from_secs(20))?,
        store: deployment.store().clone(),
        ring: Arc::new(key_ring(&config.sealing)?),
        clock: clock.clone(),
        metrics: metrics.clone(),
        recorder: tokenward_control::activity::Recorder::default(),
        proven_tokens: Arc::default(),
        sign_outs: SignOutLog::new(
            deployment.store().clone(),
            clock.clone(),
            Duration::from_secs(3600),
        ),
        past_key_grace: Duration::from_secs(3600),
    })
}

/// A source of its own for each number.
pub(super) fn source(number: u8) -> Source {
    Source::from(IpAddr::from([192, 0, 2, number]))
}
