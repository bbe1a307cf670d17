//! Reloads the configuration and renews certificates while the process runs: on SIGHUP, on `tokenward reload`, and when a file
//! changes.

use std::path::{Path, PathBuf};

use super::certificates::Certificates;
use super::reload::{ReloadError, apply, report};
use super::reload_socket::{ReloadAnswer, ReloadRequest, ReloadSocket};
use super::signals::ReloadSignal;
use super::watch::{self, Contents};
use crate::app::Current;
use crate::app::dialects::{self, Dialects};
use crate::config::Loaded;

/// Reloads while the process runs.
pub struct Reloader {
    current: Current,
    path: PathBuf,
    /// The files of the configuration, certificates aside.
    known: Contents,
    certificates: Certificates,
    /// Whether the configuration is in force as it was read last.
    is_good: bool,
    /// Finds the kinds of issuers; `None`: they are as configured.
    dialects: Option<Dialects>,
}

/// Why an attempt begins.
enum Cause {
    Signal,
    Request(ReloadRequest),
    Files(Contents),
    Certificates(Contents),
    /// An issuer whose kind was not known shows it.
    Dialect,
}

impl Reloader {
    /// A reloader of the configuration in `path`, whose files were as in `known` when it was read.
    pub(super) fn new(current: Current, path: &Path, known: Contents, certificates: Certificates) -> Self {
        Self {
            current,
            path: path.to_owned(),
            known,
            certificates,
            is_good: true,
            dialects: None,
        }
    }

    /// The same, which finds the kinds of issuers with `dialects`.
    pub(super) fn finding(self, dialects: Dialects) -> Self {
        Self {
            dialects: Some(dialects),
            ..self
        }
    }

    /// A reloader of the configuration in `path` for a service that another program has made, as tests do.
    pub async fn of(current: Current, path: &Path) -> Self {
        let certificates = Certificates::of(&current.service().config).await;
        let known = Contents::of(Loaded::from_file(path).files).await;
        Self::new(current, path, known, certificates)
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
                Cause::Certificates(seen) => self.renew(seen).await,
                Cause::Dialect => {
                    self.reload("the kind of an issuer became known").await;
                }
            }
        }
    }

    async fn cause(&self, signal: &mut ReloadSignal, socket: &ReloadSocket) -> Cause {
        // Only what is needed: a service that is held here would never count as ended once it is replaced.
        let (interval, unknown) = {
            let service = self.current.service();
            (service.config.watch_interval, dialects::unknown(&service.config))
        };
        tokio::select! {
            () = signal.next() => Cause::Signal,
            request = socket.next() => Cause::Request(request),
            seen = watch::changed(&self.known, interval) => Cause::Files(seen),
            seen = self.certificates.changed(interval) => Cause::Certificates(seen),
            () = until_known(self.dialects.as_ref(), &unknown) => Cause::Dialect,
        }
    }

    /// Reads everything again and applies it; logs and counts the result. `cause` is for the log.
    pub async fn reload(&mut self, cause: &str) -> ReloadAnswer {
        let in_force = self.current.service();
        let before = Contents::of(self.known.files()).await;
        let certificates_before = self.certificates.look().await;
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Loaded::from_file(&path)).await;
        let result = match read {
            Ok(mut loaded) => {
                loaded.config = match (loaded.config, &self.dialects) {
                    (Ok(config), Some(dialects)) => {
                        Ok(Box::pin(dialects.settle(config, Some(&in_force.config))).await)
                    }
                    (config, _) => config,
                };
                // A file that is named for the first time is known as it is now.
                self.known = Contents::of(loaded.files).await.or_as_in(&before);
                loaded
                    .config
                    .map_err(ReloadError::from)
                    .and_then(|config| self.certificates.check(config))
                    .and_then(|config| apply(&self.current, config))
            }
            Err(error) => Err(ReloadError::Panicked(error.to_string())),
        };
        report(&result, &self.path, cause);
        self.is_good = result.is_ok();
        let service = self.current.service();
        let metrics = service.metrics();
        if self.is_good {
            let (config, before) = (&service.config, &certificates_before);
            self.certificates.take(config, before, metrics).await;
        }
        let outcome = result.as_ref().map_or_else(ReloadError::outcome, |()| "applied");
        metrics.config_reload(outcome);
        service.record_reload(outcome, result.as_ref().err().map(ToString::to_string));
        ReloadAnswer {
            outcome: outcome.to_owned(),
            problems: result.err().map(|error| error.problems()).unwrap_or_default(),
        }
    }

    /// Renews certificates whose files are as in `seen` now. The last reload counts as applied only while the configuration and
    /// all certificates are good.
    async fn renew(&mut self, seen: Contents) {
        let service = self.current.service();
        let metrics = service.metrics();
        self.certificates.renew(seen, &service.config, metrics).await;
        let is_good = self.is_good && self.certificates.are_good();
        metrics.config_reload(if is_good { "applied" } else { "rejected" });
    }
}

async fn until_known(dialects: Option<&Dialects>, unknown: &[String]) {
    match dialects {
        Some(dialects) => dialects.until_known(unknown).await,
        None => std::future::pending().await,
    }
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(", ")
}
