//! A control service in this process: any number of replicas on one store, beside a fake Dex, all in one time, which
//! stands still but for [`Deployment::advance`].

mod http;
mod log;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokenward_control::app::{Current, Service};
use tokenward_control::clock::Clock;
use tokenward_control::config::Config;
use tokenward_control::serve::Listener;
use tokenward_control::store::Store;
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_protocol::token_endpoint::Reason;
use tokenward_tests::issuer::{DexConfig, FakeDex, IssuerClock, LoginTokens};
use tokenward_tests::parts::{TempFolder, Valkey};
use tokenward_tests::secrets;

pub(crate) use http::{Answer, Ask, basic};
pub(crate) use store::SwitchedStore;

use log::Watch;

pub(crate) const FILTER: &str = "filter+secret/with=%:odd";
pub(crate) const AGGREGATOR: &str = "aggregator-secret";
pub(crate) const ADMIN: &str = "admin@example.com";
const SEALING_KEY: &str = "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=";

/// What a deployment starts with.
pub(crate) struct Plan {
    pub(crate) dex: DexConfig,
    pub(crate) replicas: usize,
    /// Top-level settings in place of the defaults here.
    pub(crate) settings: Value,
    /// More servers than `kubernetes`, which forwards.
    pub(crate) servers: Vec<Value>,
    /// Secrets that `servers` name as `{file: NAME}`.
    pub(crate) secrets: Vec<(String, String)>,
    /// Files that are no secrets.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) client: (String, String),
    /// On a real Valkey instead of the embedded store.
    pub(crate) valkey: bool,
    /// On this store instead.
    pub(crate) engine: Option<Arc<dyn Store>>,
    /// The issuer's policy.
    pub(crate) policy: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
            replicas: 1,
            settings: json!({}),
            servers: Vec::new(),
            secrets: Vec::new(),
            files: Vec::new(),
            client: ("muster".to_owned(), "s3cret".to_owned()),
            valkey: false,
            engine: None,
            policy: "tolerant",
        }
    }
}

/// The default of `store.deadline`.
pub(crate) const STORE_DEADLINE: Duration = Duration::from_secs(2);
/// `store.deadline` of what is about something else: never met by a store that answers, however busy the machine is.
const LONG_STORE_DEADLINE: Duration = Duration::from_secs(20);
/// `caller_deadline` of what is about something else.
const LONG_CALLER_DEADLINE: &str = "20s";

/// With a deadline that no answer misses.
pub(crate) fn patient_valkey_config(url: String) -> ValkeyConfig {
    ValkeyConfig {
        deadline: LONG_STORE_DEADLINE,
        ..valkey_config(url)
    }
}

pub(crate) fn valkey_config(url: String) -> ValkeyConfig {
    ValkeyConfig {
        url,
        username: None,
        password: None,
        key_prefix: "tokenward:".to_owned(),
        deadline: STORE_DEADLINE,
        topology: Topology::Standalone,
    }
}

/// The deployment's time, and how far ahead of it this clock is.
#[derive(Debug)]
struct SharedClock {
    clock: IssuerClock,
    ahead_ms: i64,
}

impl SharedClock {
    fn right(clock: &IssuerClock) -> Arc<Self> {
        let clock = clock.clone();
        Arc::new(Self { clock, ahead_ms: 0 })
    }
}

impl Clock for SharedClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now_ms() + self.ahead_ms).unwrap_or(0)
    }
}

pub(crate) struct Deployment {
    pub(crate) clock: IssuerClock,
    pub(crate) dex: FakeDex,
    pub(crate) store: Arc<SwitchedStore>,
    pub(crate) services: Vec<Current>,
    pub(crate) urls: Vec<String>,
    pub(crate) http: reqwest::Client,
    config: Config,
    document: Value,
    _valkey: Option<Valkey>,
    _watch: Watch,
    folder: TempFolder,
}

impl Deployment {
    pub(crate) async fn start(plan: Plan) -> anyhow::Result<Self> {
        let dex = FakeDex::start(plan.dex.clone()).await?;
        Self::start_beside(plan, dex).await
    }

    /// The same, with a Dex that runs already; `plan.dex` is not looked at.
    pub(crate) async fn start_beside(plan: Plan, dex: FakeDex) -> anyhow::Result<Self> {
        let watch = Watch::start();
        let clock = dex.clock().clone();
        // Else each wait of control that is exactly counted could be over early, on a machine that stood still.
        clock.stop();
        let folder = TempFolder::new("control")?;
        for (name, secret) in &plan.secrets {
            secrets::note(secret);
            folder.write(name, secret)?;
        }
        for (name, content) in &plan.files {
            folder.write(name, content)?;
        }
        let file = |name: &str, content: &str| -> anyhow::Result<Value> {
            secrets::note(content);
            Ok(json!({"file": folder.write(name, content)?}))
        };
        let mut servers =
            vec![json!({"name": "kubernetes", "auth": {"type": "oauth", "forwardToken": true}})];
        servers.extend(plan.servers);
        let mut document = json!({
            "listen": "127.0.0.1:0",
            "credentials": {"filter": file("filter", FILTER)?, "aggregator": file("aggregator", AGGREGATOR)?},
            "store": {"embedded": {"path": folder.join("tokenward.redb")}},
            "sealing": {"current": {"id": "k1", "key": file("key", SEALING_KEY)?}},
            "issuers": [{"issuer": dex.issuer(), "client_id": plan.client.0, "policy": plan.policy,
                "client_secret": file("client", &plan.client.1)?}],
            "servers": servers,
            "caller_deadline": LONG_CALLER_DEADLINE,
        });
        if let (Some(document), Some(settings)) = (document.as_object_mut(), plan.settings.as_object()) {
            document.extend(settings.clone());
        }
        let config = Config::parse(&text_of(&document, &folder))?;
        let valkey = if plan.valkey {
            Some(Valkey::start().await?)
        } else {
            None
        };
        let engine: Arc<dyn Store> = match (plan.engine, &valkey) {
            (Some(engine), _) => engine,
            (None, Some(valkey)) => {
                Arc::new(ValkeyStore::connect(patient_valkey_config(valkey.url())).await?)
            }
            (None, None) => {
                let shared = SharedClock::right(&clock);
                let file = folder.join("tokenward.redb");
                Arc::new(EmbeddedStore::open(file, LONG_STORE_DEADLINE, shared).await?)
            }
        };
        let mut deployment = Self {
            clock,
            dex,
            store: Arc::new(SwitchedStore::new(engine)),
            services: Vec::new(),
            urls: Vec::new(),
            http: reqwest::Client::builder().no_proxy().build()?,
            config,
            document,
            _valkey: valkey,
            _watch: watch,
            folder,
        };
        for _ in 0..plan.replicas {
            deployment.add_replica().await?;
        }
        Ok(deployment)
    }

    /// One more replica on the same store; what a restart leaves is the same.
    pub(crate) async fn add_replica(&mut self) -> anyhow::Result<usize> {
        self.add_replica_on(&tokio::runtime::Handle::current()).await
    }

    /// The same on another runtime, whose end is the replica's crash.
    pub(crate) async fn add_replica_on(&mut self, runtime: &tokio::runtime::Handle) -> anyhow::Result<usize> {
        let clock = SharedClock::right(&self.clock);
        self.add_replica_of(clock, runtime).await
    }

    /// The same, with a clock that is so far ahead; behind, where it is negative.
    pub(crate) async fn add_replica_ahead(&mut self, ahead: i64) -> anyhow::Result<usize> {
        let (clock, ahead_ms) = (self.clock.clone(), ahead * 1000);
        let clock = Arc::new(SharedClock { clock, ahead_ms });
        self.add_replica_of(clock, &tokio::runtime::Handle::current())
            .await
    }

    async fn add_replica_of(
        &mut self,
        clock: Arc<SharedClock>,
        runtime: &tokio::runtime::Handle,
    ) -> anyhow::Result<usize> {
        let current = Current::new(Service::new(self.config.clone(), self.store.clone(), clock)?);
        let serving = current.clone();
        let started = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            tokio::spawn(Listener::new(listener, serving).run(std::future::pending()));
            std::io::Result::Ok(address)
        });
        self.urls.push(format!("http://{}", started.await??));
        self.services.push(current);
        Ok(self.urls.len() - 1)
    }

    /// The configuration that it started with, changed.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<Config> {
        let mut document = self.document.clone();
        change(&mut document);
        Ok(Config::parse(&text_of(&document, &self.folder))?)
    }

    /// Writes another secret into the file of that name.
    pub(crate) fn write_secret(&self, name: &str, secret: &str) -> anyhow::Result<()> {
        self.write_bytes(name, secret.as_bytes())
    }

    /// Writes other content into the file of that name.
    pub(crate) fn write_bytes(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        self.folder.write(name, content)?;
        Ok(())
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A login at Dex that is put under `session`.
    pub(crate) async fn log_in(&self, session: &str) -> anyhow::Result<LoginTokens> {
        self.log_in_as(session, ADMIN).await
    }

    pub(crate) async fn log_in_as(&self, session: &str, email: &str) -> anyhow::Result<LoginTokens> {
        let tokens = self.dex.log_in(email, &self.config.issuers[0].client_id).await?;
        let put = self.put_login(session, &tokens).await?;
        anyhow::ensure!(put.status == 200 || put.status == 201, "PUT answered {put:?}");
        Ok(tokens)
    }

    /// A question of the filter about `kubernetes`.
    pub(crate) fn ask<'a>(&'a self, token: &'a str) -> Ask<'a> {
        Ask {
            deployment: self,
            replica: 0,
            token,
            session: None,
            server: "kubernetes",
            reason: Reason::Stale,
        }
    }
}

/// JSON is YAML; `@NAME` is a file in the folder.
fn text_of(document: &Value, folder: &TempFolder) -> String {
    document
        .to_string()
        .replace("\"@", &format!("\"{}/", folder.path().display()))
}

/// All of them at once.
pub(crate) async fn at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = all.map(|future| Some(Box::pin(future))).collect();
    let mut results: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (slot, result) in pinned.iter_mut().zip(results.iter_mut()) {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *result = Some(value);
                *slot = None;
            }
        }
        if pinned.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
