//! Two replicas of control behind one address, as a Service has them, and an operator's browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_harness::issuer::{DexClient, DexUser, FakeDex};
use tokenward_tests::deployment::{Deployment, Plan};
use tokio::net::{TcpListener, TcpStream};

use crate::chromium::Chromium;

/// A member of `console.groups`.
pub(super) const OPERATOR: &str = "olga@example.com";

/// The deployment, and the address of its console.
pub(super) struct Stage {
    pub(super) deployment: Deployment,
    pub(super) url: String,
    /// Connections that each replica got.
    pub(super) connections: Arc<[AtomicUsize; 2]>,
}

impl Stage {
    /// With the users of `plan`, on a real Valkey.
    pub(super) async fn set(mut plan: Plan) -> anyhow::Result<Self> {
        let front = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", front.local_addr()?);
        let operator = DexUser {
            groups: vec!["sre".to_owned()],
            ..DexUser::new(OPERATOR)
        };
        let client = DexClient {
            redirect_uris: vec![format!("{url}/console/callback")],
            ..DexClient::new("tokenward-console", "console-client-secret")
        };
        let dex = FakeDex::start(plan.dex.clone().user(operator).client(client)).await?;
        plan.replicas = 2;
        plan.valkey = true;
        plan.settings["console"] = json!({
            "listen": "127.0.0.1:0",
            "public_url": url,
            "issuer": dex.issuer(),
            "client_id": "tokenward-console",
            "client_secret": {"file": "@console-client"},
            "groups": ["sre"],
        });
        plan.secrets
            .push(("console-client".to_owned(), "console-client-secret".to_owned()));
        let deployment = Deployment::start_beside(plan, dex).await?;
        let replicas = [deployment.console(0), deployment.console(1)].map(|url| {
            let address = url.trim_start_matches("http://").parse::<SocketAddr>();
            address.expect("an address")
        });
        let connections: Arc<[AtomicUsize; 2]> = Arc::default();
        tokio::spawn(forward(front, replicas, Arc::clone(&connections)));
        Ok(Self {
            deployment,
            url,
            connections,
        })
    }

    /// Opens a page of the console.
    pub(super) async fn open(&self, browser: &Chromium, path: &str) -> anyhow::Result<()> {
        browser.open(&format!("{}{path}", self.url)).await
    }

    /// Logs the operator in, on the way to `path`.
    pub(super) async fn log_in(&self, browser: &Chromium, path: &str) -> anyhow::Result<()> {
        self.open(browser, path).await?;
        browser.click("#login").await?;
        browser
            .click(&format!("form:has(input[value='{OPERATOR}']) button"))
            .await?;
        browser
            .arrive(|url| url.as_str() == format!("{}{path}", self.url))
            .await?;
        Ok(())
    }

    /// How many connections each replica got.
    pub(super) fn connections(&self) -> [usize; 2] {
        [0, 1].map(|replica| self.connections[replica].load(Ordering::Relaxed))
    }
}

/// Takes each connection to the next of the replicas.
async fn forward(front: TcpListener, replicas: [SocketAddr; 2], connections: Arc<[AtomicUsize; 2]>) {
    let mut turn = 0;
    while let Ok((mut browser, _)) = front.accept().await {
        let replica = turn % 2;
        turn += 1;
        connections[replica].fetch_add(1, Ordering::Relaxed);
        let address = replicas[replica];
        tokio::spawn(async move {
            let mut control = TcpStream::connect(address).await?;
            tokio::io::copy_bidirectional(&mut browser, &mut control).await
        });
    }
}

/// What the browser complained of, except that the first page was answered 401.
pub(super) async fn complaints(browser: &Chromium) -> anyhow::Result<Vec<String>> {
    let all = browser.complaints().await?;
    let is_login = |line: &String| line.contains("401 (Unauthorized)");
    ensure!(all.iter().filter(|line| is_login(line)).count() <= 2, "{all:?}");
    Ok(all.into_iter().filter(|line| !is_login(line)).collect())
}

/// Awaits a text on the page.
pub(super) async fn awaits(browser: &Chromium, text: &str) -> anyhow::Result<()> {
    let looking = async {
        loop {
            if browser.text().await?.contains(text) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(60), looking).await;
    match found {
        Ok(found) => found,
        Err(_) => {
            let shown = browser.text().await?;
            Err(anyhow::anyhow!("{shown}")).context(format!("no {text:?} on the page"))
        }
    }
}
