//! A real oauth2-proxy, unmodified. It needs Go to be built, so it may be missing: see [`tools::oauth2_proxy`].

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::process::LOOK_AGAIN;
use super::{LogBook, Process, ProcessSpec, tools};
use crate::issuer::jose::http_client;
use crate::secrets;

const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// 32 bytes: a restarted process reads the cookies of the one before.
const COOKIE_SECRET: &str = "only-for-tests-only-for-tests-32";

/// What it is configured with.
#[derive(Debug, Clone)]
pub struct OAuth2ProxyConfig {
    /// Port of 127.0.0.1 on which it listens; the client's redirect is `/oauth2/callback` there.
    pub port: u16,
    /// The issuer; endpoints come from its discovery document.
    pub issuer: String,
    /// The client and its secret.
    pub client: (String, String),
    /// Scopes of a login.
    pub scope: String,
    /// The claim that names the user.
    pub user_claim: String,
    /// `http://HOST:PORT` of the gateway to which requests go on, with the user's ID token.
    pub upstream: String,
    /// `--cookie-refresh`: a session older than this is refreshed with the next request.
    pub refresh_after: Duration,
}

/// A running oauth2-proxy with its sessions in cookies. It ends with this guard.
#[derive(Debug)]
pub struct OAuth2Proxy {
    address: SocketAddr,
    spec: ProcessSpec,
    process: Process,
}

impl OAuth2Proxy {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When it is not built, or does not start.
    pub async fn start(config: &OAuth2ProxyConfig) -> anyhow::Result<Self> {
        let program = tools::oauth2_proxy()?.context(tools::OAUTH2_PROXY_IS_MISSING)?;
        let address = SocketAddr::from(([127, 0, 0, 1], config.port));
        let mut spec = ProcessSpec::new::<String>("oauth2-proxy", program, arguments(config, address));
        // Not on its command line, which other processes can read.
        let of_client = ("OAUTH2_PROXY_CLIENT_SECRET", config.client.1.as_str());
        for (name, secret) in [of_client, ("OAUTH2_PROXY_COOKIE_SECRET", COOKIE_SECRET)] {
            secrets::note(secret);
            spec.environment.push((name.to_owned(), secret.to_owned()));
        }
        let mut process = Process::start(&spec)?;
        wait_until_it_answers(&mut process, address).await?;
        Ok(Self {
            address,
            spec,
            process,
        })
    }

    /// Ends it in order and starts it again.
    ///
    /// # Errors
    /// When it does not end or does not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process.terminate(STARTS_WITHIN).await?;
        self.process = Process::start(&self.spec)?;
        wait_until_it_answers(&mut self.process, self.address).await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }
}

fn arguments(config: &OAuth2ProxyConfig, address: SocketAddr) -> Vec<String> {
    vec![
        format!("--http-address={address}"),
        "--provider=oidc".to_owned(),
        format!("--oidc-issuer-url={}", config.issuer),
        format!("--client-id={}", config.client.0),
        format!("--redirect-url=http://{address}/oauth2/callback"),
        format!("--scope={}", config.scope),
        format!("--oidc-email-claim={}", config.user_claim),
        format!("--upstream={}", config.upstream),
        format!("--cookie-refresh={}s", config.refresh_after.as_secs()),
        "--cookie-expire=24h".to_owned(),
        "--cookie-secure=false".to_owned(),
        "--session-store-type=cookie".to_owned(),
        // The upstream gets the ID token as its bearer.
        "--pass-authorization-header=true".to_owned(),
        "--pass-basic-auth=false".to_owned(),
        "--pass-user-headers=false".to_owned(),
        "--code-challenge-method=S256".to_owned(),
        "--prompt=consent".to_owned(),
        "--email-domain=*".to_owned(),
        "--skip-provider-button=true".to_owned(),
        // A request without a session is refused, not sent to the issuer.
        "--api-route=^/".to_owned(),
        "--upstream-timeout=60s".to_owned(),
    ]
}

async fn wait_until_it_answers(process: &mut Process, address: SocketAddr) -> anyhow::Result<()> {
    let (http, limit) = (http_client(), Instant::now() + STARTS_WITHIN);
    loop {
        process.ensure_running()?;
        let answer = http.get(format!("http://{address}/ping")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(
            Instant::now() < limit,
            "oauth2-proxy does not answer within {STARTS_WITHIN:?}:\n{}",
            process.log().tail(20)
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
