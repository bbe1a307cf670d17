//! From the YAML as written to a [`Config`], collecting every problem on the way.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokenward_protocol::duration::parse_duration;
use url::Url;

use super::endpoint::{BadEndpoint, is_at_home, parse_endpoint, parse_issuer};
use super::raw::{RawConfig, RawIssuer, RawSecret, Text};
use super::secret_source::SecretSource;
use super::spans::{self, Bounds};
use super::{
    ClientAuth, Config, Credentials, IssuerConfig, IssuerPolicy, Problem, callers, filter_module, intake,
    resources, servers, store,
};
use crate::upstream::dialect::Dialect;
use crate::yaml::{Location, Spanned};

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    pub(super) fn add(&mut self, place: Location, what: impl Into<String>, cure: impl Into<String>) {
        self.0.push(Problem {
            line: place.line(),
            column: place.column(),
            what: what.into(),
            cure: cure.into(),
        });
    }

    /// The endpoint in `text`, or a finding.
    pub(super) fn endpoint(&mut self, name: &str, text: &Text) -> Option<Url> {
        self.address(
            name,
            text,
            parse_endpoint(&text.value),
            "https://dex.example.com/token",
        )
    }

    /// The issuer identifier in `text`, or a finding.
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

    /// The secret that `raw` names, or a finding.
    pub(super) fn secret(&mut self, name: &str, raw: &Spanned<RawSecret>) -> Option<SecretString> {
        let source = match (&raw.value.file, &raw.value.env) {
            (Some(file), None) if !file.is_empty() => SecretSource::File(PathBuf::from(file)),
            (None, Some(variable)) if !variable.is_empty() => SecretSource::Environment(variable.clone()),
            _ => {
                self.add(
                    raw.referenced,
                    format!("{name} needs exactly one source"),
                    "write {file: /path/to/it} or {env: NAME_OF_VARIABLE}",
                );
                return None;
            }
        };
        match source.read() {
            Ok(secret) => Some(secret),
            Err(unreadable) => {
                self.add(
                    raw.referenced,
                    format!("{name}: {unreadable}"),
                    "put the secret alone, on one line, where the configuration names it, readable for this process",
                );
                None
            }
        }
    }

    /// How a client authenticates itself, or a finding; `None` where it is left to discovery.
    pub(super) fn client_auth(&mut self, name: &str, text: Option<&Text>) -> Option<ClientAuth> {
        let text = text?;
        let known = [ClientAuth::Basic, ClientAuth::Post];
        let named = known.into_iter().find(|auth| auth.name() == text.value);
        if named.is_none() {
            self.add(
                text.referenced,
                format!("{name} {:?} is not known", shown(&text.value)),
                "write basic (client_secret_basic) or post (client_secret_post), or leave it out",
            );
        }
        named
    }

    fn duration(&mut self, name: &str, text: Option<&Text>, default: Duration) -> Duration {
        let Some(text) = text else { return default };
        match parse_duration(&text.value) {
            Ok(span) => span,
            Err(bad) => {
                self.add(text.referenced, format!("{name}: {bad}"), "");
                default
            }
        }
    }

    pub(super) fn positive(&mut self, name: &str, text: Option<&Text>, default: Duration) -> Duration {
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

    /// A span of time within what makes sense for it.
    pub(super) fn span(&mut self, name: &str, text: Option<&Text>, bounds: Bounds) -> Duration {
        let span = self.positive(name, text, bounds.default);
        let Some(text) = text.filter(|_| !span.is_zero()) else {
            return span;
        };
        if span < bounds.least {
            let least = bounds.least.as_secs_f64();
            self.add(
                text.referenced,
                format!("{name} is shorter than {least}s"),
                bounds.why,
            );
        } else if span >= bounds.below {
            let below = bounds.below.as_secs();
            self.add(
                text.referenced,
                format!("{name} must be shorter than {below}s"),
                bounds.why,
            );
        }
        span
    }
}

/// A value as it may be shown in a problem: short, so that a pasted secret never fills a log.
pub(super) fn shown(value: &str) -> String {
    value.chars().take(80).collect()
}

pub(super) fn check(raw: &RawConfig) -> Result<Config, Vec<Problem>> {
    let mut findings = Findings::default();
    let listen = listen(&mut findings, raw.listen.as_ref());
    let intake = intake::intake(&mut findings, raw.intake.as_ref());
    let filter = callers::credential(&mut findings, "credentials.filter", &raw.credentials.value.filter);
    let aggregator = callers::credential(
        &mut findings,
        "credentials.aggregator",
        &raw.credentials.value.aggregator,
    );
    callers::differ(
        &mut findings,
        &raw.credentials.value,
        filter.as_ref(),
        aggregator.as_ref(),
    );
    let store = store::store(&mut findings, &raw.store);
    let sealing = store::sealing(&mut findings, &raw.sealing.value);
    let margin = findings.span("margin", raw.margin.as_ref(), spans::MARGIN);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let stale_subject_grace = findings.duration(
        "stale_subject_grace",
        raw.stale_subject_grace.as_ref(),
        hours(168),
    );
    let session_lifetime = findings.positive("session_lifetime", raw.session_lifetime.as_ref(), hours(720));
    let issuer_timeout = findings.span(
        "issuer_timeout",
        raw.issuer_timeout.as_ref(),
        spans::ISSUER_TIMEOUT,
    );
    let caller_deadline = findings.span(
        "caller_deadline",
        raw.caller_deadline.as_ref(),
        spans::CALLER_DEADLINE,
    );
    let lease = findings.span("lease", raw.lease.as_ref(), spans::LEASE);
    let transient_limit = findings.positive(
        "transient_limit",
        raw.transient_limit.as_ref(),
        Duration::from_secs(30 * 60),
    );
    let rejected_interval = findings.positive(
        "rejected_interval",
        raw.rejected_interval.as_ref(),
        Duration::from_secs(30),
    );
    let issuers = issuers(&mut findings, &raw.issuers);
    let servers = servers::servers(&mut findings, &raw.servers);
    let filter_module = raw
        .filter_module
        .as_ref()
        .and_then(|raw| filter_module::filter_module(&mut findings, raw));
    let resource_metadata = resources::metadata(&mut findings, raw.resource_metadata.as_ref());
    match (listen, filter, aggregator, store, sealing) {
        (Some(listen), Some(filter), Some(aggregator), Some(store), Some(sealing))
            if findings.0.is_empty() =>
        {
            Ok(Config {
                listen,
                intake,
                credentials: Credentials { filter, aggregator },
                store,
                sealing,
                margin,
                stale_subject_grace,
                session_lifetime,
                issuer_timeout,
                caller_deadline,
                lease,
                transient_limit,
                rejected_interval,
                issuers,
                servers,
                filter_module,
                resource_metadata,
            })
        }
        _ => {
            findings.0.sort_by_key(|problem| (problem.line, problem.column));
            Err(findings.0)
        }
    }
}

fn listen(findings: &mut Findings, text: Option<&Text>) -> Option<SocketAddr> {
    let Some(text) = text else {
        return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    };
    let address = text.value.parse().ok();
    if address.is_none() {
        findings.add(
            text.referenced,
            format!("listen {:?} is not an address and a port", shown(&text.value)),
            "write it as in \"127.0.0.1:8080\"; port 0 takes a free one",
        );
    }
    address
}

fn issuers(findings: &mut Findings, raw: &Spanned<Vec<Spanned<RawIssuer>>>) -> Vec<IssuerConfig> {
    if raw.value.is_empty() {
        findings.add(
            raw.referenced,
            "issuers is empty",
            "name at least one issuer and client",
        );
    }
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut issuers = Vec::new();
    for issuer in &raw.value {
        let pair = (
            issuer.value.issuer.value.as_str(),
            issuer.value.client_id.value.as_str(),
        );
        if seen.contains(&pair) {
            findings.add(
                issuer.value.issuer.referenced,
                format!(
                    "issuer {:?} with client_id {:?} is named twice",
                    shown(pair.0),
                    shown(pair.1)
                ),
                "remove one of them",
            );
        }
        seen.push(pair);
        let configured = raw.value.iter().map(|other| &other.value);
        let siblings = configured
            .filter(|other| other.issuer.value == pair.0 && other.client_id.value != pair.1)
            .map(|other| other.client_id.value.clone());
        let trusted_peers = trusted_peers(findings, &issuer.value).chain(siblings).collect();
        issuers.extend(checked_issuer(findings, &issuer.value, trusted_peers));
    }
    issuers
}

fn trusted_peers<'a>(findings: &mut Findings, raw: &'a RawIssuer) -> impl Iterator<Item = String> + use<'a> {
    for peer in raw.trusted_peers.iter().filter(|peer| peer.value.is_empty()) {
        findings.add(
            peer.referenced,
            "a client in trusted_peers is empty",
            "name the client as the issuer writes it into azp, or remove the entry",
        );
    }
    raw.trusted_peers.iter().map(|peer| peer.value.clone())
}

fn checked_issuer(
    findings: &mut Findings,
    raw: &RawIssuer,
    trusted_peers: Vec<String>,
) -> Option<IssuerConfig> {
    let url = findings.issuer("issuer", &raw.issuer);
    if raw.client_id.value.is_empty() {
        findings.add(
            raw.client_id.referenced,
            "client_id is empty",
            "name the client that logs users in",
        );
    }
    let client_secret = findings.secret("client_secret", &raw.client_secret);
    let token_endpoint = raw
        .token_endpoint
        .as_ref()
        .map(|text| findings.endpoint("token_endpoint", text));
    let jwks_uri = raw
        .jwks_uri
        .as_ref()
        .map(|text| findings.endpoint("jwks_uri", text));
    if let (Some(issuer), Some(text)) = (&url, &raw.token_endpoint)
        && !is_at_home(issuer)
        && token_endpoint.iter().flatten().any(is_at_home)
    {
        findings.add(
            text.referenced,
            "token_endpoint is on the loopback although the issuer is not",
            "name the issuer's own endpoint",
        );
    }
    let policy = match raw.policy.as_ref().map(|text| text.value.as_str()) {
        None | Some("tolerant") => Some(IssuerPolicy::Tolerant),
        Some("strict") => Some(IssuerPolicy::Strict),
        Some(other) => {
            let place = raw
                .policy
                .as_ref()
                .map_or(Location::UNKNOWN, |text| text.referenced);
            findings.add(
                place,
                format!("policy {:?} is not known", shown(other)),
                "write tolerant (Dex) or strict (an issuer that punishes reuse)",
            );
            None
        }
    };
    let client_auth = findings.client_auth("client_auth", raw.client_auth.as_ref());
    Some(IssuerConfig {
        client_auth,
        issuer: url.map(|_| raw.issuer.value.clone())?,
        client_id: raw.client_id.value.clone(),
        client_secret: client_secret?,
        token_endpoint: match token_endpoint {
            Some(url) => Some(url?),
            None => None,
        },
        jwks_uri: match jwks_uri {
            Some(url) => Some(url?),
            None => None,
        },
        trusted_peers,
        policy: policy?,
        rejected_keys: rejected_keys(findings, &raw.rejected_keys),
        dialect: Dialect::default(),
    })
}

fn rejected_keys(findings: &mut Findings, raw: &[Text]) -> Vec<String> {
    /// Longer than any `kid` in use.
    const LONGEST: usize = 1024;
    for name in raw {
        if name.value.is_empty() || name.value.len() > LONGEST {
            findings.add(
                name.referenced,
                "a name in rejected_keys is empty or longer than 1024 bytes",
                "write the kid of a key, or its SHA-256 thumbprint (RFC 7638) as doctor prints it",
            );
        }
    }
    raw.iter().map(|name| name.value.clone()).collect()
}
