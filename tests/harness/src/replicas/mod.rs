//! Several real control processes on one real Valkey, beside one fake Dex, in real time.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::replicas::{Plan, Replicas};
//! let mut replicas = Replicas::start(Plan::default()).await?;
//! let alice = replicas.log_in_an_hour_ago(0).await?;
//! assert_eq!(replicas.ask(1, &alice).await?.status, 200);
//! replicas.controls[1].kill()?;
//! assert_eq!(replicas.dex.counts().refreshes_presented, 1);
//! # Ok(()) }
//! ```

mod asking;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

pub use asking::{Answer, Asker, Ending};

use crate::issuer::{DexConfig, DexUser, FakeDex};
use crate::parts::{Control, ControlConfig, ControlStore, Valkey};

const CLIENT: (&str, &str) = ("muster", "s3cret");
const SERVER: &str = "kubernetes";
/// Longer than a refresh of the fake Dex ever takes.
const ISSUER_TIMEOUT: &str = "1s";
/// For a thousand callers at once on a loaded machine.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// So that an heir comes soon.
const LEASE: &str = "1s";

/// What starts.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many control processes.
    pub replicas: usize,
    /// How many users Dex knows: [`email`] of 0, 1 …
    pub users: usize,
    /// Dex's `reuseInterval`.
    pub reuse_interval: Duration,
    /// `issuers[].policy`.
    pub policy: &'static str,
    /// `store.deadline`: short, so that it is soon certain that a dead process comes with no answer any more.
    pub store_deadline: &'static str,
    /// Other settings than the short ones that are set here.
    pub settings: Vec<(String, serde_json::Value)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            replicas: 3,
            users: 1,
            reuse_interval: Duration::ZERO,
            policy: "tolerant",
            store_deadline: "400ms",
            settings: Vec::new(),
        }
    }
}

/// The email of a user.
pub fn email(user: usize) -> String {
    format!("user-{user}@example.com")
}

/// A session that was put, with the token that its caller presents.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its handle.
    pub id: String,
    /// Its user's email.
    pub email: String,
    /// The ID token of the login.
    pub id_token: String,
    refresh_token: String,
}

/// Everything that runs. It ends when it is dropped.
#[derive(Debug)]
pub struct Replicas {
    /// The issuer.
    pub dex: FakeDex,
    /// The control processes.
    pub controls: Vec<Control>,
    config: ControlConfig,
    sessions: usize,
    http: reqwest::Client,
    _valkey: Valkey,
}

impl Replicas {
    /// Starts Dex, Valkey and the control processes.
    ///
    /// # Errors
    /// When one of them does not start.
    pub async fn start(plan: Plan) -> anyhow::Result<Self> {
        let mut dex = DexConfig::default()
            .id_token_lifetime(Duration::from_secs(300))
            .reuse_interval(plan.reuse_interval);
        for user in 0..plan.users {
            dex = dex.user(DexUser::new(&email(user)));
        }
        let (dex, valkey) = (FakeDex::start(dex).await?, Valkey::start().await?);
        let mut config = ControlConfig {
            store: ControlStore::Valkey {
                url: valkey.url(),
                password: None,
            },
            store_deadline: Some(plan.store_deadline.to_owned()),
            ..ControlConfig::default()
        }
        .issuer(&dex, CLIENT.0, CLIENT.1)
        .forwarding_server(SERVER, &[CLIENT.0])
        .setting("issuer_timeout", ISSUER_TIMEOUT)
        .setting("lease", LEASE);
        for issuer in &mut config.issuers {
            issuer.policy = Some(plan.policy.to_owned());
        }
        config.settings.extend(plan.settings);
        let mut replicas = Self {
            dex,
            controls: Vec::new(),
            config,
            sessions: 0,
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(LONGEST_ANSWER)
                .build()?,
            _valkey: valkey,
        };
        for _ in 0..plan.replicas {
            replicas
                .controls
                .push(Control::start(replicas.config.clone()).await?);
        }
        Ok(replicas)
    }

    /// One more control process that dies at a failpoint, `before:present` for example.
    ///
    /// # Errors
    /// When there is no such build, or it does not start.
    pub async fn doomed(&self, failpoint: &str) -> anyhow::Result<Control> {
        let mut config = self.config.clone();
        config.failpoint = Some(failpoint.to_owned());
        Control::start(config).await
    }

    /// The user logged in an hour ago, and the session was put: its ID token is stale, its refresh token good.
    ///
    /// # Errors
    /// When Dex or control refuses.
    pub async fn log_in_an_hour_ago(&mut self, user: usize) -> anyhow::Result<Session> {
        const HOUR: Duration = Duration::from_secs(3600);
        self.dex.clock().rewind(HOUR);
        let tokens = self.dex.log_in(&email(user), CLIENT.0).await;
        self.dex.clock().advance(HOUR);
        let tokens = tokens?;
        let session = Session {
            id: String::new(),
            email: email(user),
            id_token: tokens.id_token,
            refresh_token: tokens.refresh_token,
        };
        self.put_again(&session).await
    }

    /// One more session of the same login.
    ///
    /// # Errors
    /// When control refuses.
    pub async fn put_again(&mut self, login: &Session) -> anyhow::Result<Session> {
        self.sessions += 1;
        let id = format!("session-{}", self.sessions);
        let body = json!({
            "issuer": self.dex.issuer(), "client_id": CLIENT.0,
            "id_token": login.id_token, "refresh_token": login.refresh_token,
        });
        let put = self
            .http
            .put(format!("{}/v1/sessions/{id}", self.controls[0].url()))
            .bearer_auth(self.aggregator_credential())
            .json(&body);
        let limit = Instant::now() + LONGEST_ANSWER;
        loop {
            let put = put.try_clone().context("a body of bytes")?;
            let answer = put.send().await?;
            // A machine that stands still makes the store late; an aggregator puts the same again.
            if answer.status() != http::StatusCode::SERVICE_UNAVAILABLE || Instant::now() > limit {
                answer.error_for_status()?;
                return Ok(Session { id, ..login.clone() });
            }
        }
    }

    /// Who asks the control process at this place.
    pub fn asker(&self, replica: usize) -> Asker {
        self.asker_of(&self.controls[replica])
    }

    /// Who asks this control process.
    pub fn asker_of(&self, control: &Control) -> Asker {
        Asker::of(control, &self.http)
    }

    /// One question of a caller of this session.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, replica: usize, session: &Session) -> anyhow::Result<Answer> {
        self.asker(replica).ask(session).await
    }

    fn aggregator_credential(&self) -> String {
        use secrecy::ExposeSecret as _;
        self.config.aggregator_credential.expose_secret().to_owned()
    }
}
