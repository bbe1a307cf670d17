//! Collects the problems of a configuration while its parts are checked.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokenward_protocol::duration::parse_duration;
use url::Url;

use super::ClientAuth;
use super::durations::Bounds;
use super::endpoint::{BadEndpoint, parse_endpoint, parse_issuer, parse_own_endpoint};
use super::problem::Problem;
use super::raw::{RawSecret, Text};
use super::secret_source::{SecretSource, SecretUnreadable};
use crate::yaml::{Location, Spanned};

/// The problems found so far, and the files that were read.
#[derive(Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
    files: BTreeSet<PathBuf>,
}

impl Findings {
    /// Whether the configuration has no problem so far.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All problems, in the order of the file, and all files that the configuration names, TLS certificates aside.
    pub(super) fn into_parts(mut self) -> (Vec<Problem>, BTreeSet<PathBuf>) {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        (self.problems, self.files)
    }

    /// Records a file whose content is part of the configuration, readable or not.
    pub(super) fn named_file(&mut self, path: PathBuf) {
        self.files.insert(path);
    }

    /// Adds a problem at `place`.
    pub(super) fn add(&mut self, place: Location, what: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(place, what, hint));
    }

    /// Parses an endpoint; adds a problem if it is invalid.
    pub(super) fn endpoint(&mut self, name: &str, text: &Text) -> Option<Url> {
        self.address(
            name,
            text,
            parse_endpoint(&text.value),
            "https://dex.example.com/token",
        )
    }

    /// Parses an endpoint that may be a Service of the cluster; adds a problem if it is invalid.
    pub(super) fn own_endpoint(&mut self, name: &str, text: &Text) -> Option<Url> {
        self.address(
            name,
            text,
            parse_own_endpoint(&text.value),
            "https://dex.example.com/token",
        )
    }

    /// Parses an issuer identifier; adds a problem if it is invalid.
    pub(super) fn issuer(&mut self, name: &str, text: &Text) -> Option<Url> {
        self.address(name, text, parse_issuer(&text.value), "https://dex.example.com")
    }

    fn address(
        &mut self,
        name: &str,
        text: &Text,
        parsed: Result<Url, BadEndpoint>,
        example: &str,
    ) -> Option<Url> {
        let bad = match parsed {
            Ok(url) => return Some(url),
            Err(bad) => bad,
        };
        self.add(
            text.referenced,
            format!("{name} {:?} {bad}", shown(&text.value)),
            format!("write it as in {example}"),
        );
        None
    }

    /// Reads the secret that `raw` names; adds a problem if it cannot be read.
    pub(super) fn secret(&mut self, name: &str, raw: &Spanned<RawSecret>) -> Option<SecretString> {
        self.secret_of(name, raw.referenced, &raw.value)
    }

    /// The same, for a source at `place`.
    pub(super) fn secret_of(&mut self, name: &str, place: Location, raw: &RawSecret) -> Option<SecretString> {
        const HINT: &str = "put the secret alone, on one line, where the configuration names it, and make it readable for \
                            this process";
        let source = self.source(name, place, raw)?;
        self.read(place, name, source.read(), HINT)
    }

    /// Reads the private key (PEM) that `raw` names; adds a problem if it cannot be read.
    pub(super) fn pem(&mut self, name: &str, raw: &Spanned<RawSecret>) -> Option<SecretString> {
        const HINT: &str = "make a key with tokenward keygen, and make it readable for this process";
        let source = self.source(name, raw.referenced, &raw.value)?;
        self.read(raw.referenced, name, source.read_lines(), HINT)
    }

    /// Reads a file that is not secret; adds a problem if it cannot be read.
    pub(super) fn public_file(&mut self, name: &str, file: &Text) -> Option<String> {
        const HINT: &str = "make the file readable for this process";
        let source = SecretSource::File(PathBuf::from(&file.value));
        self.named_file(PathBuf::from(&file.value));
        let text = self.read(file.referenced, name, source.read_lines(), HINT)?;
        Some(text.expose_secret().to_owned())
    }

    fn read(
        &mut self,
        place: Location,
        name: &str,
        read: Result<SecretString, SecretUnreadable>,
        hint: &str,
    ) -> Option<SecretString> {
        read.map_err(|unreadable| self.add(place, format!("{name}: {unreadable}"), hint))
            .ok()
    }

    fn source(&mut self, name: &str, place: Location, raw: &RawSecret) -> Option<SecretSource> {
        match (&raw.file, &raw.env) {
            (Some(file), None) if !file.is_empty() => {
                self.named_file(PathBuf::from(file));
                Some(SecretSource::File(PathBuf::from(file)))
            }
            (None, Some(variable)) if !variable.is_empty() => {
                Some(SecretSource::Environment(variable.clone()))
            }
            _ => {
                self.add(
                    place,
                    format!("{name} needs exactly one source"),
                    "write {file: /path/to/it} or {env: NAME_OF_VARIABLE}",
                );
                None
            }
        }
    }

    /// Parses a client authentication method; `None` where discovery decides. Adds a problem if it is unknown.
    pub(super) fn client_auth(&mut self, name: &str, text: Option<&Text>) -> Option<ClientAuth> {
        let text = text?;
        let known = [ClientAuth::Basic, ClientAuth::Post, ClientAuth::PrivateKeyJwt];
        let named = known.into_iter().find(|auth| auth.name() == text.value);
        if named.is_none() {
            self.add(
                text.referenced,
                format!("{name} {:?} is not known", shown(&text.value)),
                "write basic (client_secret_basic), post (client_secret_post) or private_key_jwt, or leave it out",
            );
        }
        named
    }

    /// A duration; adds a problem if it cannot be parsed.
    pub(super) fn duration(&mut self, name: &str, text: Option<&Text>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        match parse_duration(&text.value) {
            Ok(span) => span,
            Err(bad) => {
                self.add(text.referenced, format!("{name}: {bad}"), "");
                default
            }
        }
    }

    /// A duration above zero; adds a problem if it is zero or cannot be parsed.
    pub(super) fn positive_duration(
        &mut self,
        name: &str,
        text: Option<&Text>,
        default: Duration,
    ) -> Duration {
        let span = self.duration(name, text, default);
        if let (true, Some(text)) = (span.is_zero(), text) {
            self.add(
                text.referenced,
                format!("{name} must not be zero"),
                format!("leave it out for the default of {}s", default.as_secs()),
            );
        }
        span
    }

    /// A duration within `bounds`; adds a problem if it is outside.
    pub(super) fn bounded_duration(&mut self, name: &str, text: Option<&Text>, bounds: Bounds) -> Duration {
        let span = self.positive_duration(name, text, bounds.default);
        let Some(text) = text.filter(|_| !span.is_zero()) else {
            return span;
        };
        if span < bounds.min {
            let min = bounds.min.as_secs_f64();
            self.add(
                text.referenced,
                format!("{name} is shorter than {min}s"),
                bounds.hint,
            );
        } else if span >= bounds.below {
            let below = bounds.below.as_secs();
            self.add(
                text.referenced,
                format!("{name} must be shorter than {below}s"),
                bounds.hint,
            );
        }
        span
    }
}

/// A value as a problem may quote it: short, so that a pasted secret never fills a log.
pub(super) fn shown(value: &str) -> String {
    value.chars().take(80).collect()
}
