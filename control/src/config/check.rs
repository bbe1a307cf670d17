//! Checks the YAML as written and makes a [`Config`] of it, or a list of all problems.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::durations;
use super::findings::{Findings, shown};
use super::problem::Problem;
use super::raw::{RawConfig, Text};
use super::{
    AuthorizationConfig, Config, Credentials, ResourceMetadata, audit, authorization, console, credentials,
    filter_module, intake, issuer_limits, issuers, kubernetes, resources, sealing, servers, store, tls,
};

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
    let issuers = issuers::issuers(findings, &raw.issuers, stale_subject_grace);
    let mut stated_limits = issuer_limits::of_issuers(findings, &raw.issuers.value);
    stated_limits.extend(issuer_limits::of_remotes(
        findings,
        raw.remote_issuers.as_ref(),
        &issuers,
    ));
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
        stated_limits,
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
