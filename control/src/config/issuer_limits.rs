//! `issuers[].limits` and `remote_issuers`: how many calls each process makes to an issuer.

use std::collections::BTreeMap;
use std::fmt;

use super::IssuerConfig;
use super::findings::{Findings, shown};
use super::raw::{RawIssuer, RawLimits, RawRemoteIssuer};
use crate::yaml::Spanned;

/// The limits of one process's calls to one issuer, whatever its clients there and the servers that exchange there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerLimits {
    /// Calls that start per second, in the long run.
    pub calls_per_second: u32,
    /// Calls that can start at once after a pause.
    pub burst: u32,
    /// Calls in flight.
    pub concurrent_calls: u32,
}

impl Default for IssuerLimits {
    fn default() -> Self {
        Self::of_rate(100)
    }
}

impl IssuerLimits {
    /// The limits of an issuer of which only the rate is stated.
    const fn of_rate(calls_per_second: u32) -> Self {
        Self {
            calls_per_second,
            burst: calls_per_second.saturating_mul(2),
            concurrent_calls: 32,
        }
    }
}

impl fmt::Display for IssuerLimits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "calls_per_second {}, burst {}, concurrent_calls {}",
            self.calls_per_second, self.burst, self.concurrent_calls
        )
    }
}

/// A number of calls that is likely a mistake: no issuer answers as many.
const MOST_PER_SECOND: u32 = 10_000;
const MOST_AT_ONCE: u32 = 1_000;

/// The limits of each issuer, in the order of `raw`. The clients of one issuer share its limits, so it is enough to state them
/// once.
pub(super) fn of_issuers(
    findings: &mut Findings,
    raw: &[Spanned<RawIssuer>],
) -> BTreeMap<String, IssuerLimits> {
    let mut stated: BTreeMap<String, IssuerLimits> = BTreeMap::new();
    for issuer in raw {
        let Some(raw) = &issuer.value.limits else { continue };
        let limits = limits(findings, raw);
        let name = &issuer.value.issuer.value;
        let earlier = *stated.entry(name.clone()).or_insert(limits);
        if earlier != limits {
            findings.add(
                raw.referenced,
                format!(
                    "issuer {:?} has other limits at another of its clients",
                    shown(name)
                ),
                "the clients of an issuer share its limits: state them at one of them",
            );
        }
    }
    stated
}

/// The limits of remote issuers, by issuer. `homes` have theirs.
pub(super) fn of_remotes(
    findings: &mut Findings,
    raw: Option<&Spanned<Vec<Spanned<RawRemoteIssuer>>>>,
    homes: &[IssuerConfig],
) -> BTreeMap<String, IssuerLimits> {
    let mut stated = BTreeMap::new();
    for Spanned { value: remote, .. } in raw.iter().flat_map(|raw| &raw.value) {
        let name = &remote.issuer.value;
        findings.issuer("remote_issuers[].issuer", &remote.issuer);
        if homes.iter().any(|home| home.issuer == *name) {
            findings.add(
                remote.issuer.referenced,
                format!("remote issuer {:?} is one of issuers", shown(name)),
                "logins and exchanges at an issuer share its limits: state them at issuers[].limits",
            );
        }
        let limits = limits(findings, &remote.limits);
        if stated.insert(name.clone(), limits).is_some() {
            findings.add(
                remote.issuer.referenced,
                format!("remote issuer {:?} is named twice", shown(name)),
                "remove one of them",
            );
        }
    }
    stated
}

fn limits(findings: &mut Findings, raw: &Spanned<RawLimits>) -> IssuerLimits {
    let RawLimits {
        calls_per_second,
        burst,
        concurrent_calls,
    } = &raw.value;
    let mut number = |name: &str, number: Option<&Spanned<u32>>, default: u32, most: u32| {
        let Some(number) = number else { return default };
        if !(1..=most).contains(&number.value) {
            findings.add(
                number.referenced,
                format!("limits.{name} must be 1 to {most}"),
                format!("leave it out for the default of {default}"),
            );
        }
        number.value
    };
    let usual = IssuerLimits::default();
    let rate = calls_per_second.as_ref();
    let calls_per_second = number("calls_per_second", rate, usual.calls_per_second, MOST_PER_SECOND);
    let usual = IssuerLimits::of_rate(calls_per_second);
    IssuerLimits {
        calls_per_second,
        burst: number("burst", burst.as_ref(), usual.burst, 2 * MOST_PER_SECOND),
        concurrent_calls: number(
            "concurrent_calls",
            concurrent_calls.as_ref(),
            usual.concurrent_calls,
            MOST_AT_ONCE,
        ),
    }
}
