//! A real strict issuer: oidc-provider, which revokes a grant when its refresh token is presented a second time.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use super::process::LOOK_AGAIN;
use super::{Detour, Process, ProcessSpec, ports, tools};
use crate::issuer::DexClient;
use crate::issuer::jose::http_client;
use crate::secrets;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 5;

/// A running oidc-provider behind a [`Detour`], so that its answers can be late. It ends with this guard.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    direct: String,
    way: Detour,
    process: Process,
}

/// Counts of its requests and of their outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct OidcState {
    /// Logins so far.
    pub grants: usize,
    /// How many of them still are.
    pub grants_alive: usize,
    /// Arrivals of refresh tokens, one for each login included: that is how it gets its ID token.
    pub presented: usize,
    /// Refresh tokens that arrived more than once.
    pub presented_again: usize,
    /// Refreshes that were done.
    pub refreshed: usize,
    /// Grants that reuse detection has revoked.
    pub revoked: usize,
}

/// What a login gives.
#[derive(Debug, Clone, Deserialize)]
pub struct OidcTokens {
    /// The ID token.
    pub id_token: String,
    /// The refresh token.
    pub refresh_token: String,
}

impl OidcProvider {
    /// The client of the logins, and its secret with every letter that a careless client encodes wrongly.
    pub const CLIENT: (&'static str, &'static str) = ("muster", "s+e/c%r=e:t;&?");

    /// Starts one; `None` where it is not on this machine.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(id_tokens_live: Duration) -> anyhow::Result<Option<Self>> {
        if tools::oidc_provider()?.is_none() {
            return Ok(None);
        }
        for attempt in 1..=ATTEMPTS {
            let port = ports::free_port()?;
            let way = Detour::to(port).await?;
            let issuer = format!("http://{}", way.address());
            let (client_id, client_secret) = Self::CLIENT;
            let mut process = launch(&Launch {
                issuer: &issuer,
                port,
                id_tokens_live,
                client: &DexClient::new(client_id, client_secret),
                has_pages: false,
            })?;
            match wait_until_it_listens(&mut process).await {
                Ok(()) => {
                    return Ok(Some(Self {
                        issuer,
                        direct: format!("http://127.0.0.1:{port}"),
                        way,
                        process,
                    }));
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
        bail!("no attempt")
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it has printed.
    pub fn log(&self) -> &super::LogBook {
        self.process.log()
    }

    /// Its answers come so much later from now on; its work is done at once.
    pub fn set_delay(&self, delay: Duration) {
        self.way.set_delay(delay);
    }

    /// A user logs in.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn log_in(&self, account: &str) -> anyhow::Result<OidcTokens> {
        let url = format!("{}/test/login?account={account}", self.direct);
        let answer = http_client().post(url).send().await?.error_for_status()?;
        let tokens: OidcTokens = answer.json().await?;
        secrets::note(&tokens.id_token);
        secrets::note(&tokens.refresh_token);
        Ok(tokens)
    }

    /// Its counts so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn state(&self) -> anyhow::Result<OidcState> {
        let url = format!("{}/test/state", self.direct);
        let answer = http_client().get(url).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Waits until it has done `count` refreshes, whether or not a client has its answers.
    ///
    /// # Errors
    /// When it has not within `deadline`.
    pub async fn wait_until_refreshed(&self, count: usize, deadline: Duration) -> anyhow::Result<()> {
        let limit = Instant::now() + deadline;
        loop {
            let state = self.state().await?;
            if state.refreshed >= count {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < limit, "not within {deadline:?}: {state:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// How one is started.
pub(super) struct Launch<'a> {
    /// Its name, with the address at which clients reach it.
    pub(super) issuer: &'a str,
    /// Where it listens.
    pub(super) port: u16,
    /// The life of ID tokens.
    pub(super) id_tokens_live: Duration,
    /// Its only client.
    pub(super) client: &'a DexClient,
    /// Whether users log in and consent on its own pages.
    pub(super) has_pages: bool,
}

/// Starts it, without waiting until it listens.
///
/// # Errors
/// When it is not on this machine.
pub(super) fn launch(launch: &Launch<'_>) -> anyhow::Result<Process> {
    let (node, entry) = tools::oidc_provider()?.context(tools::OIDC_PROVIDER_IS_MISSING)?;
    let script = tools::workspace().join("tests/oidc-provider/server.mjs");
    let words = [
        launch.issuer.to_owned(),
        launch.port.to_string(),
        launch.id_tokens_live.as_secs().to_string(),
        launch.client.id.clone(),
        launch.client.secret.clone(),
        if launch.has_pages { "pages" } else { "no-pages" }.to_owned(),
    ];
    let arguments = [script.into_os_string(), entry.into_os_string()]
        .into_iter()
        .chain(words.map(OsString::from))
        .chain(launch.client.redirect_uris.iter().map(OsString::from));
    Process::start(&ProcessSpec::new("oidc-provider", node, arguments))
}

/// # Errors
/// When it ends instead, or does not within half a minute.
pub(super) async fn wait_until_it_listens(process: &mut Process) -> anyhow::Result<()> {
    let log = process.log().clone();
    let listening = log.wait_for_line(|line| line == "listening", STARTS_WITHIN);
    tokio::pin!(listening);
    loop {
        tokio::select! {
            line = &mut listening => return line.map(drop).context("oidc-provider does not listen"),
            () = tokio::time::sleep(LOOK_AGAIN) => process.ensure_running()?,
        }
    }
}
