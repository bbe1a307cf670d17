//! `issuers[].relay`: the issuer's public token endpoint, whose requests the gateway routes to control.

use std::time::Duration;

use url::Url;

use super::durations;
use super::endpoint::parse_issuer;
use super::findings::{Findings, shown};
use super::issuer::IssuerConfig;
use super::raw::{RawIssuer, RawRelay, Text};
use super::relay::{RelayConfig, same_place};
use crate::upstream::dialect::Dialect;
use crate::yaml::{Location, Spanned};

const OWN_ADDRESS: &str = "name the address at which the issuer itself answers, as in \
    http://dex.dex.svc.cluster.local:5556/token: the public one leads to control";

/// The relay of one issuer; `stale_subject_grace` is the limit for all logins.
pub(super) fn relay(
    findings: &mut Findings,
    raw: &RawIssuer,
    stale_subject_grace: Duration,
    dialect: Dialect,
) -> Option<RelayConfig> {
    let relay = raw.relay.as_ref()?;
    if raw.token_endpoint.is_none() {
        findings.add(
            relay.referenced,
            "relay needs token_endpoint",
            format!("add token_endpoint to this issuer: {OWN_ADDRESS}"),
        );
    }
    let public_endpoint = public_endpoint(findings, raw, relay, dialect);
    let deadline = findings.bounded_duration(
        "relay.deadline",
        relay.value.deadline.as_ref(),
        durations::RELAY_DEADLINE,
    );
    Some(RelayConfig {
        stale_subject_grace: grace(
            findings,
            relay.value.stale_subject_grace.as_ref(),
            stale_subject_grace,
        ),
        public_endpoint: public_endpoint?,
        deadline,
    })
}

fn public_endpoint(
    findings: &mut Findings,
    raw: &RawIssuer,
    relay: &Spanned<RawRelay>,
    dialect: Dialect,
) -> Option<Url> {
    let (place, text) = match &relay.value.public_endpoint {
        Some(text) => (text.referenced, text.value.clone()),
        None => {
            let Some(endpoint) = dialect.token_endpoint_of(&raw.issuer.value) else {
                findings.add(
                    relay.referenced,
                    "relay needs public_endpoint: the token endpoint of such an issuer does not follow from its name",
                    "write token_endpoint of the issuer's discovery document",
                );
                return None;
            };
            (relay.referenced, endpoint)
        }
    };
    match parse_issuer(&text) {
        Ok(url) => Some(url),
        // A fault of the issuer is reported there.
        Err(_) if relay.value.public_endpoint.is_none() => None,
        Err(bad) => {
            findings.add(
                place,
                format!("relay.public_endpoint {:?} {bad}", shown(&text)),
                "write token_endpoint of the issuer's discovery document, as in https://dex.example.com/token",
            );
            None
        }
    }
}

fn grace(findings: &mut Findings, text: Option<&Text>, longest: Duration) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(60 * 60);
    let grace = findings.duration("relay.stale_subject_grace", text, DEFAULT.min(longest));
    if let (true, Some(text)) = (grace > longest, text) {
        findings.add(
            text.referenced,
            format!(
                "relay.stale_subject_grace is longer than stale_subject_grace, {}s",
                longest.as_secs()
            ),
            "a token that old proves no login: make it shorter",
        );
    }
    grace
}

/// Checks the relays of all issuers together: control must reach each issuer without its own relay, and a relayed request
/// must have one destination.
pub(super) fn check_together(findings: &mut Findings, issuers: &[(&RawIssuer, IssuerConfig)]) {
    let relayed = || {
        let relays = issuers.iter().map(|(_, config)| (config, config.relay.as_ref()));
        relays.filter_map(|(config, relay)| Some((config, relay?)))
    };
    for (index, (raw, config)) in issuers.iter().enumerate() {
        if let (Some(text), Some(endpoint)) = (&raw.token_endpoint, &config.token_endpoint)
            && relayed().any(|(_, relay)| same_place(endpoint, &relay.public_endpoint))
        {
            findings.add(
                text.referenced,
                "token_endpoint is a relay's public_endpoint: control would call itself",
                OWN_ADDRESS,
            );
        }
        let is_relayed = relayed().any(|(other, _)| other.issuer == config.issuer);
        if is_relayed && config.relay.is_none() && config.token_endpoint.is_none() {
            findings.add(
                raw.issuer.referenced,
                "the issuer has a relay for another client, and no token_endpoint for this one",
                format!("add token_endpoint to this entry too: {OWN_ADDRESS}"),
            );
        }
        let earlier = issuers.iter().take(index).map(|(_, earlier)| earlier);
        if let Some(relay) = &config.relay
            && other_destination(relay, config, earlier)
        {
            findings.add(
                raw.token_endpoint
                    .as_ref()
                    .map_or(Location::UNKNOWN, |text| text.referenced),
                format!(
                    "two token_endpoints for one public_endpoint, {}",
                    shown(relay.public_endpoint.as_str())
                ),
                "name the same token_endpoint for every client of the issuer",
            );
        }
    }
}

/// Whether one of the `earlier` issuers has the same public endpoint and another token endpoint.
fn other_destination<'a>(
    relay: &RelayConfig,
    config: &IssuerConfig,
    mut earlier: impl Iterator<Item = &'a IssuerConfig>,
) -> bool {
    earlier.any(|other| {
        let shares = other
            .relay
            .as_ref()
            .is_some_and(|theirs| same_place(&theirs.public_endpoint, &relay.public_endpoint));
        shares && other.token_endpoint != config.token_endpoint
    })
}
