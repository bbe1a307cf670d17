//! Reloads the configuration and renews TLS certificates while the process runs: on SIGHUP, on `tokenward reload`, and when a
//! file changes.
//!
//! Certificates are renewed by themselves: cert-manager's renewal must not wait until another fault of the configuration is
//! fixed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::reload::{ReloadError, apply, report};
use super::reload_socket::{ReloadAnswer, ReloadSocket};
use super::signals::ReloadSignal;
use super::tls::ListenerTls;
use super::watch::{self, Contents};
use crate::app::Current;
use crate::config::{Config, Loaded, TlsConfig, TlsError};
use crate::tls::{ServerIdentity, Validity};

/// The listener's certificate, and what of it is known.
struct Certificate {
    tls: ListenerTls,
    known: Contents,
    is_good: bool,
}

/// Reloads while the process runs.
pub(super) struct Reloader {
    current: Current,
    path: PathBuf,
    known: Contents,
    certificate: Option<Certificate>,
    is_good: bool,
}

/// The content of all files of a configuration that was just read.
pub(super) struct KnownFiles {
    configuration: Contents,
    certificate: Contents,
}

impl KnownFiles {
    /// Looks at `files` and at those of `tls`.
    pub(super) async fn of(files: BTreeSet<PathBuf>, tls: Option<&TlsConfig>) -> Self {
        let certificate = match tls {
            Some(tls) => contents_of(tls).await,
            None => Contents::default(),
        };
        Self {
            configuration: Contents::of(files).await,
            certificate,
        }
    }
}

/// Why an attempt begins.
enum Cause {
    Signal,
    Request(super::reload_socket::ReloadRequest),
    Files(Contents),
    Certificate(Contents),
}

impl Reloader {
    /// A reloader of the configuration in `path`, which was read with the files of `known`.
    pub(super) fn new(current: Current, path: &Path, known: KnownFiles, tls: Option<ListenerTls>) -> Self {
        Self {
            current,
            path: path.to_owned(),
            known: known.configuration,
            certificate: tls.map(|tls| Certificate {
                tls,
                known: known.certificate,
                is_good: true,
            }),
            is_good: true,
        }
    }

    /// Reloads whenever there is a cause; never returns.
    pub(super) async fn run(mut self, mut signal: ReloadSignal, socket: ReloadSocket) {
        loop {
            match self.cause(&mut signal, &socket).await {
                Cause::Signal => {
                    self.reload("SIGHUP").await;
                }
                Cause::Request(request) => {
                    let answer = self.reload("tokenward reload").await;
                    request.answer(&answer).await;
                }
                Cause::Files(seen) => {
                    let files = names(&seen.changed_since(&self.known));
                    self.reload(&format!("changed: {files}")).await;
                }
                Cause::Certificate(seen) => self.renew(seen).await,
            }
        }
    }

    async fn cause(&self, signal: &mut ReloadSignal, socket: &ReloadSocket) -> Cause {
        let interval = self.current.service().config.watch_interval;
        tokio::select! {
            () = signal.next() => Cause::Signal,
            request = socket.next() => Cause::Request(request),
            seen = watch::changed(&self.known, interval) => Cause::Files(seen),
            seen = certificate_changed(self.certificate.as_ref(), interval) => Cause::Certificate(seen),
        }
    }

    /// Reads everything again and applies it; logs and counts the result. `cause` is for the log.
    async fn reload(&mut self, cause: &str) -> ReloadAnswer {
        let before = Contents::of(self.known.files()).await;
        let certificate_before = match &self.certificate {
            Some(certificate) => Contents::of(certificate.known.files()).await,
            None => Contents::default(),
        };
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Loaded::from_file(&path)).await;
        let result = match read {
            Ok(loaded) => {
                // A file that is named for the first time is known as it is now.
                self.known = Contents::of(loaded.files).await.or_as_in(&before);
                loaded
                    .config
                    .map_err(ReloadError::from)
                    .and_then(|config| self.check_certificate(config))
                    .and_then(|config| apply(&self.current, config))
            }
            Err(error) => Err(ReloadError::Panicked(error.to_string())),
        };
        report(&result, &self.path, cause);
        self.is_good = result.is_ok();
        if self.is_good {
            self.take_certificate(&certificate_before).await;
        }
        let outcome = result.as_ref().map_or_else(ReloadError::outcome, |()| "applied");
        self.current.service().metrics().config_reload(outcome);
        ReloadAnswer {
            outcome: outcome.to_owned(),
            problems: result.err().map(|error| error.problems()).unwrap_or_default(),
        }
    }

    /// Refuses a configuration with a new certificate that clients refuse. The one in force may be expired: that is no reason to
    /// refuse everything else.
    fn check_certificate(&self, config: Config) -> Result<Config, ReloadError> {
        if let (Some(certificate), Some(tls)) = (&self.certificate, &config.tls)
            && *tls.identity.certificate() != certificate.tls.certificate()
        {
            usable(tls.identity.clone(), now_seconds()).map_err(ReloadError::Certificate)?;
        }
        Ok(config)
    }

    /// Uses the certificate that the configuration in force was read with.
    async fn take_certificate(&mut self, before: &Contents) {
        let service = self.current.service();
        if let (Some(certificate), Some(config)) = (&mut self.certificate, &service.config.tls) {
            certificate.known = contents_of(config).await.or_as_in(before);
            certificate.tls.replace(config, config.identity.clone());
            certificate.is_good = true;
            service.metrics().tls.in_force(&certificate.tls.certificate());
        }
    }

    /// Reads the certificate's files, whose contents are `seen`, and uses the new pair if it is usable.
    async fn renew(&mut self, seen: Contents) {
        let service = self.current.service();
        let (Some(certificate), Some(config)) = (&mut self.certificate, &service.config.tls) else {
            return;
        };
        certificate.known = seen;
        let files = config.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let renewed = read
            .map_err(|panicked| panicked.to_string())
            .and_then(|read| read.map_err(|error| described(&error)))
            .and_then(|identity| usable(identity, now_seconds()));
        certificate.is_good = renewed.is_ok();
        match renewed {
            Ok(identity) => {
                let facts = identity.certificate();
                tracing::info!(
                    not_after_seconds = facts.not_after_seconds,
                    names = facts.names.join(", "),
                    "the certificate was renewed; new connections use it"
                );
                certificate.tls.replace(config, identity);
                service.metrics().tls.renewed(&certificate.tls.certificate());
            }
            Err(problem) => {
                let in_force = certificate.tls.certificate();
                tracing::error!(
                    problem,
                    not_after_seconds = in_force.not_after_seconds,
                    "the certificate was not renewed; the old one stays in force until its not_after"
                );
                service.metrics().tls.not_renewed();
            }
        }
        // The last reload counts as good only if configuration and certificate both are.
        let outcome = if certificate.is_good && self.is_good {
            "applied"
        } else {
            "rejected"
        };
        service.metrics().config_reload(outcome);
    }
}

/// Waits for a change of the certificate's files.
async fn certificate_changed(certificate: Option<&Certificate>, interval: Duration) -> Contents {
    match certificate {
        Some(certificate) => watch::changed(&certificate.known, interval).await,
        None => std::future::pending().await,
    }
}

async fn contents_of(config: &TlsConfig) -> Contents {
    Contents::of(config.files.all().into_iter().map(Path::to_owned).collect()).await
}

fn described(error: &TlsError) -> String {
    format!("{error}; {}", error.hint())
}

/// A pair that clients refuse must not replace one that they may still accept.
fn usable(identity: ServerIdentity, now_seconds: i64) -> Result<ServerIdentity, String> {
    match identity.certificate().validity(now_seconds) {
        Validity::Valid => Ok(identity),
        Validity::NotYet => {
            Err("the new certificate is not valid yet; compare this machine's clock with its issuer's".into())
        }
        Validity::Expired => Err("the new certificate has expired; renew it".into()),
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(", ")
}

/// This machine's clock, in Unix seconds.
pub(super) fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
