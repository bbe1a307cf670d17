//! Everything that runs in one storm: Dex, Valkey, replicas of control, and the sessions, whose tokens have expired.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokenward_harness::issuer::{LoginTokens, http_client};
use tokenward_harness::parts::{
    Control, ControlConfig, ControlIssuer, ControlStore, Metrics, Valkey, cpu_ns_with_ended_threads, tools,
};
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TOKEN_PATH, TokenRequest};
use tokio::task::JoinSet;

use super::StormLimits;
use super::dex::{DexCpu, StormDex};
use crate::machine::machine_busy_ns;

/// The client that logs people in, and its secret.
pub(super) const CLIENT: (&str, &str) = ("muster", "s3cret");
const SERVER: &str = "forward";
/// ID tokens of the logins before the storm: they have expired when it begins.
const SHORT: Duration = Duration::from_secs(1);
/// ID tokens of the refreshes: long enough that none comes near its expiry in a storm.
const LONG: Duration = Duration::from_secs(3600);
/// Logins, and registrations, at a time.
const AT_A_TIME: usize = 64;

/// Prebuilt requests, one for each session.
pub(super) type Requests = Arc<Vec<Vec<u8>>>;

/// The replicas and their store.
pub(super) struct Stage {
    valkey: Valkey,
    controls: Vec<Control>,
}

/// What was used or counted at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Instant,
    machine_ns: u64,
    control_ns: u64,
    valkey_ns: u64,
    own_ns: u64,
    dex: DexCpu,
}

/// CPU seconds between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) dex: f64,
    pub(super) etcd: f64,
    pub(super) control: f64,
    pub(super) valkey: f64,
    pub(super) load: f64,
    /// Share of the machine that other processes had.
    pub(super) foreign: f64,
}

impl Stage {
    /// Logs every user in, registers the sessions, and starts Dex and the replicas again when all tokens have expired. Returns
    /// the request for each session's token, too.
    ///
    /// # Errors
    /// When Dex, Valkey or control refuses.
    pub(super) async fn with_expired_sessions(
        dex: &mut StormDex,
        sessions: usize,
        (limits, replicas): (StormLimits, usize),
        log: &dyn Fn(&str),
    ) -> anyhow::Result<(Self, Requests)> {
        dex.start_with(SHORT).await?;
        let begun = Instant::now();
        let logins = log_in(dex, sessions).await?;
        log(&format!(
            "{sessions} logins at Dex in {:.0} s",
            begun.elapsed().as_secs_f64()
        ));
        let valkey = Valkey::start_on_a_port(&["--appendonly", "no"]).await?;
        let config = configuration(dex, &valkey, limits)?;
        let mut controls = Vec::new();
        for _ in 0..replicas {
            controls.push(Control::start(config.clone()).await?);
        }
        let begun = Instant::now();
        register(&controls[0], &dex.issuer(), &logins).await?;
        log(&format!(
            "{sessions} sessions registered in {:.0} s",
            begun.elapsed().as_secs_f64()
        ));
        tokio::time::sleep(SHORT * 2).await;
        dex.start_with(LONG).await?;
        for control in &mut controls {
            control.kill()?;
            control.restart().await?;
        }
        let requests = logins.iter().enumerate();
        let requests = requests.map(|(number, login)| request(&config.filter_credential, login, number));
        let requests = Arc::new(requests.collect());
        Ok((Self { valkey, controls }, requests))
    }

    /// Where the replicas listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.controls.iter().map(Control::address).collect()
    }

    /// WARN lines and lines above that the replicas have printed.
    pub(super) fn warnings(&self) -> usize {
        let is_warning = |line: &str| line.contains("WARN") || line.contains("ERROR");
        self.controls
            .iter()
            .map(|control| control.log().count(is_warning))
            .sum()
    }

    /// The metrics of each replica.
    ///
    /// # Errors
    /// When one does not answer.
    pub(super) async fn metrics(&self) -> anyhow::Result<Vec<Metrics>> {
        let mut all = Vec::new();
        for control in &self.controls {
            all.push(control.metrics().await?);
        }
        Ok(all)
    }

    /// Commands that Valkey has run.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn store_commands(&self) -> anyhow::Result<u64> {
        let info = self.valkey.command(&["INFO", "stats"]).await?;
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"));
        Ok(line.context("no total_commands_processed")?.trim().parse()?)
    }

    /// Now.
    ///
    /// # Errors
    /// When a process has ended.
    pub(super) fn moment(&mut self, dex: &StormDex) -> anyhow::Result<Moment> {
        let mut control_ns = 0;
        for control in &mut self.controls {
            control_ns += cpu_ns_with_ended_threads(control.process()?.pid())?;
        }
        Ok(Moment {
            at: Instant::now(),
            machine_ns: machine_busy_ns()?,
            control_ns,
            valkey_ns: self.valkey.pid().map_or(Ok(0), cpu_ns_with_ended_threads)?,
            own_ns: cpu_ns_with_ended_threads(std::process::id())?,
            dex: dex.cpu()?,
        })
    }
}

impl Moment {
    /// What was used until `after`.
    pub(super) fn until(self, after: Self) -> Used {
        let seconds = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1e9;
        let (dex, etcd) = (
            seconds(self.dex.dex_ns, after.dex.dex_ns),
            seconds(self.dex.etcd_ns, after.dex.etcd_ns),
        );
        let control = seconds(self.control_ns, after.control_ns);
        let valkey = seconds(self.valkey_ns, after.valkey_ns);
        let load = seconds(self.own_ns, after.own_ns);
        let ours = dex + etcd + control + valkey + load;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let elapsed = (after.at - self.at).as_secs_f64();
        Used {
            dex,
            etcd,
            control,
            valkey,
            load,
            foreign: ((seconds(self.machine_ns, after.machine_ns) - ours) / (elapsed * cores)).max(0.0),
        }
    }
}

fn configuration(dex: &StormDex, valkey: &Valkey, limits: StormLimits) -> anyhow::Result<ControlConfig> {
    let more = limits
        .numbers
        .map_or(Value::Null, |[calls_per_second, burst, concurrent]| {
            json!({"limits": {
                "calls_per_second": calls_per_second, "burst": burst, "concurrent_calls": concurrent,
            }})
        });
    let mut config = ControlConfig {
        program: Some(tools::tokenward_release()?),
        store: ControlStore::Valkey {
            url: valkey.url(),
            password: None,
        },
        ..ControlConfig::default()
    };
    config.issuers.push(ControlIssuer {
        issuer: dex.issuer(),
        client_id: CLIENT.0.to_owned(),
        client_secret: CLIENT.1.into(),
        policy: None,
        token_endpoint: None,
        relay: None,
        more,
    });
    Ok(config.forwarding_server(SERVER, &[CLIENT.0]))
}

async fn log_in(dex: &StormDex, sessions: usize) -> anyhow::Result<Vec<LoginTokens>> {
    let issuer: Arc<str> = dex.issuer().into();
    let http = http_client();
    let work = |number: usize| {
        let (http, issuer) = (http.clone(), Arc::clone(&issuer));
        async move { StormDex::log_in(&http, &issuer, &format!("user-{number:06}")).await }
    };
    side_by_side(sessions, work).await
}

async fn register(control: &Control, issuer: &str, logins: &[LoginTokens]) -> anyhow::Result<()> {
    let credential = control.config().aggregator_credential.expose_secret().to_owned();
    let (url, credential): (Arc<str>, Arc<str>) = (control.url().into(), credential.into());
    let http = http_client();
    let work = |number: usize| {
        let (http, url, credential) = (http.clone(), Arc::clone(&url), Arc::clone(&credential));
        let login = &logins[number];
        let body = json!({
            "issuer": issuer, "client_id": CLIENT.0,
            "id_token": login.id_token, "refresh_token": login.refresh_token,
        });
        async move {
            let url = format!("{url}/v1/sessions/{}", session(number));
            let answer = http.put(url).bearer_auth(credential).json(&body).send().await?;
            ensure!(answer.status().is_success(), "control: {}", answer.text().await?);
            Ok(())
        }
    };
    side_by_side(logins.len(), work).await.map(drop)
}

/// The results of `work` for each number, in their order; some of it at a time.
async fn side_by_side<T, F>(count: usize, work: impl Fn(usize) -> F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut under_way = JoinSet::new();
    let (mut next, mut done) = (0, 0);
    while done < count {
        while next < count && under_way.len() < AT_A_TIME {
            let (number, work) = (next, work(next));
            under_way.spawn(async move { (number, work.await) });
            next += 1;
        }
        let (number, result) = under_way.join_next().await.context("no work")??;
        results[number] = Some(result?);
        done += 1;
    }
    results
        .into_iter()
        .map(|result| result.context("not done"))
        .collect()
}

fn session(number: usize) -> String {
    format!("5d0c7e1a-9b1f-4d3e-8a52-{number:012x}")
}

/// The request for the token of the login of this number.
fn request(filter_credential: &SecretString, login: &LoginTokens, number: usize) -> Vec<u8> {
    let form = TokenRequest {
        subject_token: login.id_token.as_str().into(),
        subject_token_type: SubjectTokenType::IdToken,
        server: SERVER.to_owned(),
        session: Some(session(number).into()),
        reason: Reason::Stale,
    }
    .to_form();
    format!(
        "POST {TOKEN_PATH} HTTP/1.1\r\nhost: control\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        filter_credential.expose_secret(),
        form.len()
    )
    .into_bytes()
}
