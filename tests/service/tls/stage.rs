//! A control process that serves TLS, with its certificate in a mounted Secret.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::{
    Authority, CertificatePair, Control, ControlConfig, ControlTls, LogBook, MountedSecret, Valid,
};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// The listener's names. Its clients call the address.
pub(super) const NAMES: [&str; 2] = ["tokenward.mcp.svc.cluster.local", "127.0.0.1"];

/// A control process, and what its certificate is made of.
pub(super) struct Stage {
    pub(super) authority: Authority,
    pub(super) secret: MountedSecret,
    pub(super) control: Control,
    _dex: FakeDex,
}

/// The files of a `kubernetes.io/tls` Secret.
pub(super) fn files(pair: &CertificatePair) -> [(&str, &str); 2] {
    [
        ("tls.crt", pair.certificate.as_str()),
        ("tls.key", pair.key.as_str()),
    ]
}

impl Stage {
    /// Starts it with `more` members of `tls`, and `settings` of the configuration.
    pub(super) async fn start(more: Value, settings: &[(&str, Value)]) -> anyhow::Result<Self> {
        let mut stage = Self::launch(Valid::Now, more, settings).await?;
        stage.control.wait_until_listening().await?;
        stage.control.wait_until_ready(PATIENCE).await?;
        Ok(stage)
    }

    /// Starts it with a certificate that is `valid` then, and waits for nothing.
    pub(super) async fn launch(
        valid: Valid,
        more: Value,
        settings: &[(&str, Value)],
    ) -> anyhow::Result<Self> {
        let authority = Authority::new("an authority")?;
        let pair = authority.pair_valid(&NAMES, valid)?;
        let secret = MountedSecret::mount(&files(&pair))?;
        let mut listener = json!({
            "certificate": {"file": secret.path("tls.crt")},
            "key": {"file": secret.path("tls.key")},
            "names": NAMES,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            listener[name] = value.clone();
        }
        let dex = FakeDex::start(DexConfig::default()).await?;
        let mut config = ControlConfig::default()
            .issuer(&dex, "muster", "s3cret")
            .forwarding_server("kubernetes", &["muster"])
            .setting("watch_interval", "100ms");
        for (name, value) in settings {
            config = config.setting(name, value.clone());
        }
        config.tls = Some(ControlTls {
            listener,
            authority: authority.pem(),
            name: NAMES[0].to_owned(),
            client: None,
        });
        Ok(Self {
            control: Control::launched(config)?,
            authority,
            secret,
            _dex: dex,
        })
    }

    /// A client that trusts `authority` and presents `pair`.
    pub(super) fn client(
        &self,
        authority: &Authority,
        pair: Option<CertificatePair>,
    ) -> anyhow::Result<reqwest::Client> {
        let tls = ControlTls {
            listener: json!({}),
            authority: authority.pem(),
            name: NAMES[0].to_owned(),
            client: pair,
        };
        tls.http_client()
    }

    /// The status of `path`; `None` without an answer.
    pub(super) async fn status(&self, client: &reqwest::Client, path: &str) -> Option<u16> {
        let answer = client.get(format!("{}{path}", self.control.url())).send().await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// Connections that were closed because of `cause`.
    pub(super) async fn closed(&self, cause: &str) -> anyhow::Result<u64> {
        let metrics = self.control.metrics().await?;
        Ok(metrics.count("tokenward_connections_closed_total", &[("cause", cause)]))
    }

    /// Waits until at least `count` connections were closed because of `cause`; how many it were then.
    pub(super) async fn closed_at_least(&self, cause: &str, count: u64) -> anyhow::Result<u64> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let closed = self.closed(cause).await?;
                if closed >= count {
                    return Ok(closed);
                }
            }
        })
        .await?
    }

    pub(super) fn log(&self) -> LogBook {
        self.control.log()
    }
}

/// Waits for a line with all of these words.
pub(super) async fn line(log: &LogBook, words: &[&str]) -> anyhow::Result<String> {
    log.wait_for_line(|line| words.iter().all(|word| line.contains(word)), PATIENCE)
        .await
}
