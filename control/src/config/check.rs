//! Checks the YAML as written and makes a [`Config`] of it, or a list of all problems.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::durations;
use super::endpoint::is_local;
use super::findings::{Findings, shown};
use super::problem::Problem;
use super::raw::{RawConfig, RawIssuer, Text};
use super::{
    AuthorizationConfig, Config, Credentials, IssuerConfig, IssuerPolicy, ResourceMetadata, audit,
    authorization, console, credentials, filter_module, intake, kubernetes, relays, resources, sealing,
    servers, store, tls,
};
use crate::upstream::dialect::Dialect;
use crate::yaml::{Location, Spanned};

/// The checked configuration or all its problems, and the files that it names, TLS certificates aside.
pub(super) struct Checked {
    pub(super) config: Result<Config, Vec<Problem>>,
    pub(super) files: BTreeSet<PathBuf>,
}

pub(super) fn check(raw: &RawConfig) -> Checked {
    let mut findings = Findings::default();
    let config = checked(&mut findings, raw);
    let (problems, files) = findings.into_parts();
    Checked {
        config: config.filter(|_| problems.is_empty()).ok_or(problems),
        files,
    }
}

/// The configuration; `None`, or one that is not to be used, if there are problems.
fn checked(findings: &mut Findings, raw: &RawConfig) -> Option<Config> {
    let listen = listen(findings, raw.listen.as_ref());
    let tls = raw.tls.as_ref().map(|raw| tls::tls(findings, raw));
    let watch_interval = findings.bounded_duration(
        "watch_interval",
        raw.watch_interval.as_ref(),
        durations::WATCH_INTERVAL,
    );
    let intake = intake::intake(findings, raw.intake.as_ref());
    let filter = credentials::credential(findings, "credentials.filter", &raw.credentials.value.filter);
    let aggregator = credentials::credential(
        findings,
        "credentials.aggregator",
        &raw.credentials.value.aggregator,
    );
    credentials::check_distinct(
        findings,
        &raw.credentials.value,
        filter.as_ref(),
        aggregator.as_ref(),
    );
    let store = store::store(findings, &raw.store);
    let sealing = sealing::sealing(findings, &raw.sealing.value);
    let margin = findings.bounded_duration("margin", raw.margin.as_ref(), durations::MARGIN);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let stale_subject_grace = findings.duration(
        "stale_subject_grace",
        raw.stale_subject_grace.as_ref(),
        hours(168),
    );
    let session_lifetime =
        findings.positive_duration("session_lifetime", raw.session_lifetime.as_ref(), hours(720));
    let issuer_timeout = findings.bounded_duration(
        "issuer_timeout",
        raw.issuer_timeout.as_ref(),
        durations::ISSUER_TIMEOUT,
    );
    let caller_deadline = findings.bounded_duration(
        "caller_deadline",
        raw.caller_deadline.as_ref(),
        durations::CALLER_DEADLINE,
    );
    let lease = findings.bounded_duration("lease", raw.lease.as_ref(), durations::LEASE);
    let transient_limit = findings.positive_duration(
        "transient_limit",
        raw.transient_limit.as_ref(),
        Duration::from_secs(30 * 60),
    );
    let rejected_interval = findings.positive_duration(
        "rejected_interval",
        raw.rejected_interval.as_ref(),
        Duration::from_secs(30),
    );
    let issuers = issuers(findings, &raw.issuers, stale_subject_grace);
    let kubernetes = raw
        .kubernetes
        .as_ref()
        .map(|raw| kubernetes::kubernetes(findings, raw));
    let servers = servers::servers(findings, &raw.servers, &raw.issuers.value, kubernetes.is_some());
    let filter_module = raw
        .filter_module
        .as_ref()
        .and_then(|raw| filter_module::filter_module(findings, raw));
    let resource_metadata = resources::metadata(findings, raw.resource_metadata.as_ref());
    let audit = raw.audit.as_ref().and_then(|raw| audit::audit(findings, raw));
    let has_problems = !findings.is_empty();
    let (authorization, resource_metadata) = with_authorization(
        findings,
        raw,
        resource_metadata,
        &authorization::Surroundings {
            has_problems,
            issuers: &issuers,
            servers: &servers,
            has_resources: kubernetes.is_some(),
            session_lifetime,
        },
    );
    let console = raw
        .console
        .as_ref()
        .and_then(|raw| console::console(findings, raw, listen));
    Some(Config {
        listen: listen?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        watch_interval,
        intake,
        credentials: Credentials {
            filter: filter?,
            aggregator: aggregator?,
        },
        store: store?,
        sealing: sealing?,
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
        authorization,
        audit,
        console,
        kubernetes,
    })
}

/// The authorization server, and the resource metadata, which names it.
fn with_authorization(
    findings: &mut Findings,
    raw: &RawConfig,
    resource_metadata: ResourceMetadata,
    around: &authorization::Surroundings<'_>,
) -> (Option<AuthorizationConfig>, ResourceMetadata) {
    let Some(raw) = &raw.authorization else {
        return (None, resource_metadata);
    };
    (
        authorization::authorization(findings, raw, around),
        authorization::resource_metadata(findings, &raw.value, resource_metadata),
    )
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

fn issuers(
    findings: &mut Findings,
    raw: &Spanned<Vec<Spanned<RawIssuer>>>,
    stale_subject_grace: Duration,
) -> Vec<IssuerConfig> {
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
        let relay = relays::relay(findings, &issuer.value, stale_subject_grace);
        let checked = checked_issuer(findings, &issuer.value, trusted_peers);
        issuers.extend(checked.map(|config| (&issuer.value, IssuerConfig { relay, ..config })));
    }
    relays::check_together(findings, &issuers);
    issuers.into_iter().map(|(_, config)| config).collect()
}

fn trusted_peers<'a>(findings: &mut Findings, raw: &'a RawIssuer) -> impl Iterator<Item = String> + use<'a> {
    for peer in raw.trusted_peers.iter().filter(|peer| peer.value.is_empty()) {
        findings.add(
            peer.referenced,
            "a client in trusted_peers is empty",
            "name the client as in the issuer's azp claim, or remove the entry",
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
        .map(|text| findings.own_endpoint("token_endpoint", text));
    let jwks_uri = raw
        .jwks_uri
        .as_ref()
        .map(|text| findings.own_endpoint("jwks_uri", text));
    if let (Some(issuer), Some(text)) = (&url, &raw.token_endpoint)
        && !is_local(issuer)
        && token_endpoint.iter().flatten().any(is_local)
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
                "write tolerant (Dex) or strict (an issuer that may revoke the login on reuse)",
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
        relay: None,
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
