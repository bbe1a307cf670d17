//! The strict issuer as a home of worlds: oidc-provider behind a proxy that counts, with pages on which users log in.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::oidc_provider::{Launch, launch, wait_until_it_listens};
use super::{LogBook, LoopbackSocket, Process, ports, tools};
use crate::browser::{Browser, CodeLogin};
use crate::issuer::{
    CountingProxy, DexClient, DexConfig, Issuer, IssuerClock, IssuerCounts, LoginTokens, Presentation,
};

/// A port that was free may be taken before it is bound.
const ATTEMPTS: usize = 5;

/// A real oidc-provider with rotation and reuse detection: a refresh token that is presented twice ends its login. Of its
/// configuration the first client, the life of ID tokens and the published address count. It runs in real time.
#[derive(Debug)]
pub struct StrictIssuer {
    issuer: String,
    config: DexConfig,
    proxy: CountingProxy,
    process: Process,
}

impl StrictIssuer {
    /// Whether it is on this machine.
    ///
    /// # Errors
    /// When a variable names what is not there.
    pub fn is_there() -> anyhow::Result<bool> {
        Ok(tools::oidc_provider()?.is_some())
    }

    /// What it has logged.
    pub fn log(&self) -> &LogBook {
        self.process.log()
    }

    fn client(&self) -> anyhow::Result<&DexClient> {
        self.config.clients.first().context("an issuer without a client")
    }
}

impl Issuer for StrictIssuer {
    const KIND: &'static str = "oidc-provider";

    async fn start(config: DexConfig) -> anyhow::Result<Self> {
        let socket = LoopbackSocket::bind().await?;
        let issuer = format!("http://{}", config.published_at.unwrap_or(socket.address()));
        let client = config.clients.first().context("an issuer without a client")?;
        for attempt in 1.. {
            let port = ports::free_port()?;
            let mut process = launch(&Launch {
                issuer: &issuer,
                port,
                id_tokens_live: config.id_token_lifetime,
                client,
                has_pages: true,
            })?;
            match wait_until_it_listens(&mut process).await {
                Ok(()) => {
                    let direct = SocketAddr::from(([127, 0, 0, 1], port));
                    return Ok(Self {
                        issuer,
                        config,
                        proxy: CountingProxy::serve(socket, direct),
                        process,
                    });
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
        bail!("no attempt")
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    fn clock(&self) -> &IssuerClock {
        &self.config.clock
    }

    /// On its pages, with a code.
    async fn log_in(&self, email: &str, client_id: &str) -> anyhow::Result<LoginTokens> {
        let client = self.client()?;
        ensure!(client.id == client_id, "no client {client_id}");
        let login = CodeLogin {
            issuer: &self.issuer,
            client_id,
            client_secret: &client.secret,
            redirect_uri: client.redirect_uris.first().context("no redirect")?,
            scope: Self::SCOPES,
        };
        login.log_in(&Browser::new()?, email).await
    }

    async fn end_login(&self, _email: &str, _client_id: &str) -> anyhow::Result<()> {
        bail!("a strict issuer has no way to end a login from outside")
    }

    fn set_down(&self, down: bool) {
        self.proxy.set_down(down);
    }

    fn counts(&self) -> IssuerCounts {
        self.proxy.counts()
    }

    fn counts_of(&self, email: &str) -> IssuerCounts {
        self.proxy.counts_of(email)
    }

    fn presentations(&self) -> Vec<Presentation> {
        self.proxy.presentations()
    }

    fn last_expiry_seconds(&self) -> i64 {
        self.proxy.last_expiry_seconds()
    }

    async fn wait_for_counts(
        &self,
        predicate: impl Fn(&IssuerCounts) -> bool + Send + Sync,
        deadline: Duration,
    ) -> anyhow::Result<IssuerCounts> {
        self.proxy.wait_for_counts(predicate, deadline).await
    }

    fn jwks_uri(&self) -> String {
        format!("{}/jwks", self.issuer)
    }
}

impl StrictIssuer {
    /// What its clients request; it gives refresh tokens only to those who were asked.
    pub const SCOPES: &'static str = "openid offline_access";
}
