//! Replicas as processes of their own, in real time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokenward_control::app::Service;
use tokenward_control::clock::SystemClock;
use tokenward_control::config::Config;
use tokenward_control::store::Store;
use tokenward_control::store::valkey::ValkeyStore;

use super::plan::patient_valkey_config;
use super::{Deployment, Plan, TokenCall};
use tokenward_harness::issuer::{FakeDex, LoginTokens};
use tokenward_harness::parts::{Control, ControlConfig, ControlStore, Valkey, control_config};

/// For a thousand callers at once on a loaded machine.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// Control processes on one store.
#[derive(Debug)]
pub struct Processes {
    /// The processes.
    pub controls: Vec<Control>,
    /// The Valkey, unless the one process has its embedded store.
    pub valkey: Option<Valkey>,
    config: ControlConfig,
    sessions: usize,
}

/// A registered session, and the login that it is of.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its handle.
    pub id: String,
    /// Its user's email.
    pub email: String,
    /// The tokens of the login.
    pub tokens: LoginTokens,
}

impl Deployment<Processes> {
    /// Starts a fake Dex, the store and the processes.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start_processes(plan: Plan) -> anyhow::Result<Self> {
        let dex = FakeDex::start(plan.dex.clone()).await?;
        let issuer = dex.issuer().to_owned();
        Self::start_processes_of(plan, dex, issuer).await
    }

    /// Logs the user `email` in, an hour ago, and registers the session: its ID token is stale, its refresh token good.
    ///
    /// # Errors
    /// When Dex or control refuses.
    pub async fn log_in_an_hour_ago(&mut self, email: &str) -> anyhow::Result<Session> {
        let tokens = self.login_of_an_hour_ago(email).await?;
        let login = Session {
            id: String::new(),
            email: email.to_owned(),
            tokens,
        };
        self.put_again(&login).await
    }

    /// The tokens of a login an hour ago; no session has them yet.
    ///
    /// # Errors
    /// When Dex refuses.
    pub async fn login_of_an_hour_ago(&self, email: &str) -> anyhow::Result<LoginTokens> {
        const HOUR: Duration = Duration::from_secs(3600);
        self.dex.clock().rewind(HOUR);
        let tokens = self.dex.log_in(email, &self.client.0).await;
        self.dex.clock().advance(HOUR);
        tokens
    }

    /// Registers one more session of the same login.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn put_again(&mut self, login: &Session) -> anyhow::Result<Session> {
        self.replicas.sessions += 1;
        let id = format!("s-{}", self.replicas.sessions);
        let limit = Instant::now() + LONGEST_ANSWER;
        loop {
            let put = self.put_login(&id, &login.tokens).await?;
            // On a machine that stands still the store is late; an aggregator sends the same request again.
            if put.status != 503 || Instant::now() > limit {
                anyhow::ensure!(matches!(put.status, 200 | 201), "PUT answered {put:?}");
                return Ok(Session { id, ..login.clone() });
            }
        }
    }
}

impl Deployment<Processes, ()> {
    /// Starts the store and the processes; the test holds the issuer. `plan.dex` is ignored.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start_processes_at(plan: Plan, issuer: &str) -> anyhow::Result<Self> {
        Self::start_processes_of(plan, (), issuer.to_owned()).await
    }
}

impl<I> Deployment<Processes, I> {
    async fn start_processes_of(plan: Plan, dex: I, issuer: String) -> anyhow::Result<Self> {
        anyhow::ensure!(plan.engine.is_none(), "a process opens its own store");
        anyhow::ensure!(
            plan.valkey || plan.replicas == 1,
            "an embedded store is of one process"
        );
        let (valkey, store) = if plan.valkey {
            let valkey = Valkey::start().await?;
            let (url, password) = (valkey.url(), None);
            (Some(valkey), ControlStore::Valkey { url, password })
        } else {
            (None, ControlStore::Embedded)
        };
        let config = plan.control_config(&issuer, store);
        let mut controls = Vec::new();
        for _ in 0..plan.replicas {
            controls.push(Control::start(config.clone()).await?);
        }
        Ok(Self {
            dex,
            urls: controls.iter().map(Control::url).collect(),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(LONGEST_ANSWER)
                .build()?,
            replicas: Processes {
                controls,
                valkey,
                config,
                sessions: 0,
            },
            issuer,
            client: plan.client,
        })
    }

    /// One more process, which dies at a failpoint, `before:present` for example. It is none of the replicas.
    ///
    /// # Errors
    /// When there is no such build, or it does not start.
    pub async fn doomed(&self, failpoint: &str) -> anyhow::Result<Control> {
        let mut config = self.replicas.config.clone();
        config.failpoint = Some(failpoint.to_owned());
        Control::start(config).await
    }

    /// Takes a replica out; those after it move up by one.
    pub fn remove_replica(&mut self, replica: usize) -> Control {
        self.urls.remove(replica);
        self.replicas.controls.remove(replica)
    }

    /// A service in this process beside the replicas, on their store: for what a test does without a request.
    ///
    /// # Errors
    /// When the store cannot be reached; an embedded one is not shared.
    pub async fn service_beside(&self) -> anyhow::Result<(Arc<Service>, Arc<dyn Store>)> {
        let valkey = self.replicas.valkey.as_ref();
        let valkey = valkey.ok_or_else(|| anyhow::anyhow!("the replicas have no Valkey"))?;
        let store: Arc<dyn Store> =
            Arc::new(ValkeyStore::connect(patient_valkey_config(valkey.url())).await?);
        let folder = TempDir::with_prefix("tokenward-beside-")?;
        let document = self
            .replicas
            .config
            .document(&folder, SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let config = Config::parse(&control_config::text_of(&document, &folder))?;
        let service = Service::new(config, Arc::clone(&store), Arc::new(SystemClock))?;
        Ok((service, store))
    }

    /// A call of the filter for the token of this session.
    pub fn ask_for(&self, session: &Session) -> TokenCall {
        self.ask(&session.tokens.id_token).session(&session.id)
    }
}
