//! Replicas in this process: their clock, store and services are the test's to move, to switch and to read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokenward_control::app::{Current, Service};
use tokenward_control::clock::Clock;
use tokenward_control::config::Config;
use tokenward_control::serve::{Listener, serve_console};
use tokenward_control::store::Store;
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::valkey::ValkeyStore;
use tokio::runtime::Handle;

use super::log_watch::LogWatch;
use super::plan::{LONG_STORE_DEADLINE, patient_valkey_config};
use super::switched_store::SwitchedStore;
use super::{Deployment, Plan};
use tokenward_harness::issuer::{FakeDex, IssuerClock};
use tokenward_harness::parts::{ControlStore, Valkey, control_config, write_file};

/// Replicas in this process, in the issuer's time. All that they log is searched for secrets.
pub struct InProcess {
    clock: IssuerClock,
    store: Arc<SwitchedStore>,
    services: Vec<Current>,
    /// `http://127.0.0.1:PORT` of each replica's console, if there is one.
    consoles: Vec<String>,
    config: Config,
    document: Value,
    valkey: Option<Valkey>,
    _watch: LogWatch,
    folder: TempDir,
}

/// The deployment's time, and how far ahead of it this replica's clock is.
#[derive(Debug)]
struct ReplicaClock {
    clock: IssuerClock,
    ahead_ms: i64,
}

impl Clock for ReplicaClock {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now_ms() + self.ahead_ms).unwrap_or(0)
    }
}

impl Deployment {
    /// Starts a fake Dex and the replicas.
    ///
    /// # Errors
    /// When one of them does not start, or the configuration is refused.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let dex = FakeDex::start(plan.dex.clone()).await?;
        Self::start_beside(plan, dex).await
    }

    /// [`Deployment::start`] with a Dex that runs already; `plan.dex` is ignored. Its clock is stopped.
    ///
    /// # Errors
    /// As there.
    pub async fn start_beside(plan: Plan, dex: FakeDex) -> anyhow::Result<Self> {
        let (issuer, clock) = (dex.issuer().to_owned(), dex.clock().clone());
        Self::start_of(plan, dex, (issuer, clock)).await
    }
}

impl Deployment<InProcess, ()> {
    /// Starts the replicas; the test holds the issuer. `plan.dex` is ignored, and `clock`, the issuer's, is stopped.
    ///
    /// # Errors
    /// When one of them does not start, or the configuration is refused.
    pub async fn start_at(plan: Plan, issuer: &str, clock: &IssuerClock) -> anyhow::Result<Self> {
        Self::start_of(plan, (), (issuer.to_owned(), clock.clone())).await
    }
}

impl<I> Deployment<InProcess, I> {
    async fn start_of(plan: Plan, dex: I, (issuer, clock): (String, IssuerClock)) -> anyhow::Result<Self> {
        // With a clock that runs, a wait that is counted exactly could end early on a machine that stood still.
        clock.stop();
        let folder = TempDir::with_prefix("tokenward-control-")?;
        let written = plan.control_config(&issuer, ControlStore::Embedded);
        let document = written.document(&folder, SocketAddr::from(([127, 0, 0, 1], 0)))?;
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
                let file = folder.path().join(control_config::STORE_FILE);
                Arc::new(EmbeddedStore::open(file, LONG_STORE_DEADLINE, replica_clock(&clock, 0)).await?)
            }
        };
        let mut deployment = Self {
            issuer,
            client: plan.client,
            dex,
            urls: Vec::new(),
            http: reqwest::Client::builder().no_proxy().build()?,
            replicas: InProcess {
                clock,
                store: Arc::new(SwitchedStore::new(engine)),
                services: Vec::new(),
                consoles: Vec::new(),
                config: Config::parse(&control_config::text_of(&document, &folder))?,
                document,
                valkey,
                _watch: LogWatch::start(),
                folder,
            },
        };
        for _ in 0..plan.replicas {
            deployment.add_replica().await?;
        }
        Ok(deployment)
    }

    /// The store of all replicas.
    pub fn store(&self) -> &Arc<SwitchedStore> {
        &self.replicas.store
    }

    /// The service of one replica.
    pub fn service(&self, replica: usize) -> &Current {
        &self.replicas.services[replica]
    }

    /// The Valkey of all replicas, if they are on one.
    pub fn valkey(&self) -> Option<&Valkey> {
        self.replicas.valkey.as_ref()
    }

    /// The address of one replica's console.
    pub fn console(&self, replica: usize) -> &str {
        &self.replicas.consoles[replica]
    }

    /// The time of the issuer and of each replica whose clock is right.
    pub fn clock(&self) -> &IssuerClock {
        &self.replicas.clock
    }

    /// Moves the time forward.
    pub fn advance(&self, seconds: u64) {
        self.clock().advance(Duration::from_secs(seconds));
    }

    /// Starts one more replica on the same store and returns its number; a restart leaves the same behind.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn add_replica(&mut self) -> anyhow::Result<usize> {
        self.add_replica_with(0, &Handle::current()).await
    }

    /// Starts one more replica on another runtime, whose end is the replica's crash.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn add_replica_on(&mut self, runtime: &Handle) -> anyhow::Result<usize> {
        self.add_replica_with(0, runtime).await
    }

    /// Starts one more replica whose clock is so many seconds ahead; behind, where the number is negative.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn add_replica_ahead(&mut self, seconds: i64) -> anyhow::Result<usize> {
        self.add_replica_with(seconds * 1000, &Handle::current()).await
    }

    async fn add_replica_with(&mut self, ahead_ms: i64, runtime: &Handle) -> anyhow::Result<usize> {
        let replicas = &mut self.replicas;
        let clock = replica_clock(&replicas.clock, ahead_ms);
        let service = Service::new(replicas.config.clone(), replicas.store.clone(), clock)?;
        let current = Current::new(service);
        let serving = current.clone();
        let console = replicas.config.console.is_some();
        let started = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let mut of_console = None;
            if console {
                let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
                of_console = Some(socket.local_addr()?);
                tokio::spawn(serve_console(socket, serving.clone(), std::future::pending()));
            }
            tokio::spawn(Listener::new(listener, serving).run(std::future::pending()));
            std::io::Result::Ok((address, of_console))
        });
        let (address, of_console) = started.await??;
        self.urls.push(format!("http://{address}"));
        replicas
            .consoles
            .extend(of_console.map(|address| format!("http://{address}")));
        replicas.services.push(current);
        Ok(self.urls.len() - 1)
    }

    /// The configuration that the replicas started with, changed.
    ///
    /// # Errors
    /// The problems of the changed configuration.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> anyhow::Result<Config> {
        let mut document = self.replicas.document.clone();
        change(&mut document);
        Ok(Config::parse(&control_config::text_of(
            &document,
            &self.replicas.folder,
        ))?)
    }

    /// Writes other content into a file of the configuration: one of the plan, `filter-credential`,
    /// `aggregator-credential`, `sealing-k1` or `issuer-0`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_file(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        write_file(&self.replicas.folder, name, content)?;
        Ok(())
    }
}

fn replica_clock(clock: &IssuerClock, ahead_ms: i64) -> Arc<ReplicaClock> {
    let clock = clock.clone();
    Arc::new(ReplicaClock { clock, ahead_ms })
}
