//! The certificates of the listeners, each renewed by itself when its files change: a renewal must not wait until another fault
//! of the configuration is fixed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::reload::ReloadError;
use super::tls::ListenerTls;
use super::watch::{self, Contents};
use crate::config::{Config, TlsConfig};
use crate::observe::metrics::Metrics;
use crate::tls::{ServerIdentity, Validity};

/// Where the TLS of one listener is configured.
type TlsOf = fn(&Config) -> Option<&TlsConfig>;

/// The listener of the token endpoint and the sessions API.
pub(super) const CONTROL: &str = "control";

/// The listener of the operators' console.
pub(super) const CONSOLE: &str = "console";

/// All listeners that may have TLS: the name in log lines and metrics, and the place in the configuration.
const LISTENERS: [(&str, TlsOf); 2] = [
    (CONTROL, |config| config.tls.as_ref()),
    (CONSOLE, |config| config.console.as_ref()?.tls.as_ref()),
];

/// The certificates of all listeners with TLS.
pub(super) struct Certificates {
    served: Vec<Served>,
    known: Contents,
}

/// The certificate of one listener.
struct Served {
    listener: &'static str,
    of: TlsOf,
    tls: ListenerTls,
    /// Whether its files are usable as they are now.
    is_good: bool,
}

impl Certificates {
    /// Those of `config`, which was just read.
    pub(super) async fn of(config: &Config) -> Self {
        let served: Vec<Served> = LISTENERS
            .into_iter()
            .filter_map(|(listener, of)| {
                Some(Served {
                    listener,
                    of,
                    tls: ListenerTls::new(of(config)?),
                    is_good: true,
                })
            })
            .collect();
        let known = Contents::of(files(&served, config)).await;
        Self { served, known }
    }

    /// TLS of `listener`; `None`: it serves plain HTTP.
    pub(super) fn listener(&self, listener: &str) -> Option<ListenerTls> {
        let served = self.served.iter().find(|served| served.listener == listener);
        served.map(|served| served.tls.clone())
    }

    /// Publishes the certificates, and logs those that clients refuse. The process starts in spite of them: a renewed one is used
    /// as soon as it is there, and an orchestrator would wait minutes between restarts.
    pub(super) fn report(&self, metrics: &Metrics) {
        for Served { listener, tls, .. } in &self.served {
            let certificate = tls.certificate();
            metrics.tls.in_force(listener, &certificate);
            let problem = match certificate.validity(now_seconds()) {
                Validity::Valid => continue,
                Validity::NotYet => {
                    "the certificate is not valid yet: clients refuse it; compare this machine's clock with its issuer's"
                }
                Validity::Expired => {
                    "the certificate has expired: clients refuse it; renew it, and the new one is used without a restart"
                }
            };
            tracing::error!(
                listener,
                not_before_seconds = certificate.not_before_seconds,
                not_after_seconds = certificate.not_after_seconds,
                "{problem}"
            );
        }
    }

    /// Waits until a file has changed; never without TLS.
    pub(super) async fn changed(&self, interval: Duration) -> Contents {
        if self.served.is_empty() {
            return std::future::pending().await;
        }
        watch::changed(&self.known, interval).await
    }

    /// Reads the pairs whose files differ from before in `seen`, and uses each that is usable; logs and counts the results.
    pub(super) async fn renew(&mut self, seen: Contents, config: &Config, metrics: &Metrics) {
        let changed: BTreeSet<PathBuf> = seen.changed_since(&self.known).into_iter().collect();
        self.known = seen;
        for served in &mut self.served {
            if let Some(tls) = (served.of)(config)
                && tls.files.all().into_iter().any(|file| changed.contains(file))
            {
                served.renew(tls, metrics).await;
            }
        }
    }

    /// Whether the files of all are usable as they were seen last.
    pub(super) fn are_good(&self) -> bool {
        self.served.iter().all(|served| served.is_good)
    }

    /// The content of all files now.
    pub(super) async fn look(&self) -> Contents {
        Contents::of(self.known.files()).await
    }

    /// Refuses a configuration with a new certificate that clients refuse. The one in force may be expired: that is no reason to
    /// refuse everything else.
    pub(super) fn check(&self, config: Config) -> Result<Config, ReloadError> {
        for served in &self.served {
            if let Some(tls) = (served.of)(&config)
                && *tls.identity.certificate() != served.tls.certificate()
            {
                usable(tls.identity.clone(), now_seconds()).map_err(ReloadError::Certificate)?;
            }
        }
        Ok(config)
    }

    /// Uses the certificates that `config` was read with; `before`: their files as they were seen before that.
    pub(super) async fn take(&mut self, config: &Config, before: &Contents, metrics: &Metrics) {
        self.known = Contents::of(files(&self.served, config)).await.or_as_in(before);
        for served in &mut self.served {
            if let Some(tls) = (served.of)(config) {
                served.tls.replace(tls, tls.identity.clone());
                served.is_good = true;
                metrics.tls.in_force(served.listener, tls.identity.certificate());
            }
        }
    }
}

impl Served {
    async fn renew(&mut self, config: &TlsConfig, metrics: &Metrics) {
        let files = config.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let renewed = read
            .map_err(|panicked| panicked.to_string())
            .and_then(|read| read.map_err(|error| format!("{error}; {}", error.hint())))
            .and_then(|identity| usable(identity, now_seconds()));
        self.is_good = renewed.is_ok();
        let listener = self.listener;
        match renewed {
            Ok(identity) => {
                let facts = identity.certificate();
                tracing::info!(
                    listener,
                    not_after_seconds = facts.not_after_seconds,
                    names = facts.names.join(", "),
                    "the certificate was renewed; new connections use it"
                );
                metrics.tls.renewed(listener, facts);
                self.tls.replace(config, identity);
            }
            Err(problem) => {
                tracing::error!(
                    listener,
                    problem,
                    not_after_seconds = self.tls.certificate().not_after_seconds,
                    "the certificate was not renewed; the old one stays in force until its not_after"
                );
                metrics.tls.not_renewed(listener);
            }
        }
    }
}

/// The files of all.
fn files(served: &[Served], config: &Config) -> BTreeSet<PathBuf> {
    let configs = served.iter().filter_map(|served| (served.of)(config));
    configs
        .flat_map(|tls| tls.files.all())
        .map(Path::to_owned)
        .collect()
}

/// A pair that clients refuse must not replace one that they may still accept.
fn usable(identity: ServerIdentity, now_seconds: i64) -> Result<ServerIdentity, String> {
    match identity.certificate().validity(now_seconds) {
        Validity::Valid => Ok(identity),
        Validity::NotYet => Err(
            "the new certificate is not valid yet; compare this machine's clock with its issuer's".to_owned(),
        ),
        Validity::Expired => Err("the new certificate has expired; renew it".to_owned()),
    }
}

/// This machine's clock, in Unix seconds.
pub(super) fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
