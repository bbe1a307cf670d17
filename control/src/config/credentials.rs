//! `credentials`: the secrets that the filter and the aggregator present.

use secrecy::{ExposeSecret as _, SecretString};

use super::findings::Findings;
use super::raw::{RawCredentials, RawSecret};
use crate::yaml::Spanned;

/// A shorter credential can be guessed.
const MIN_BYTES: usize = 16;
const HINT: &str = "generate it with `openssl rand -hex 32`";

/// Reads a credential; adds a problem if it cannot be sent in a header or can be guessed. Never quotes its content.
pub(super) fn credential(
    findings: &mut Findings,
    name: &str,
    raw: &Spanned<RawSecret>,
) -> Option<SecretString> {
    let credential = findings.secret(name, raw)?;
    let secret = credential.expose_secret();
    if secret.len() < MIN_BYTES {
        let what = format!(
            "{name} has {} bytes, and needs at least {MIN_BYTES}",
            secret.len()
        );
        findings.add(raw.referenced, what, HINT);
        return None;
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("{name} contains whitespace, or a character that a header cannot carry");
        findings.add(raw.referenced, what, HINT);
        return None;
    }
    Some(credential)
}

/// Requires different credentials, so that the filter cannot register sessions.
pub(super) fn check_distinct(
    findings: &mut Findings,
    raw: &RawCredentials,
    filter: Option<&SecretString>,
    aggregator: Option<&SecretString>,
) {
    if let (Some(filter), Some(aggregator)) = (filter, aggregator)
        && filter.expose_secret() == aggregator.expose_secret()
    {
        findings.add(
            raw.aggregator.referenced,
            "credentials.filter and credentials.aggregator are the same secret",
            "give each caller a credential of its own, so that the filter cannot register sessions",
        );
    }
}
