//! `credentials`: what the filter and the aggregator show.

use secrecy::{ExposeSecret as _, SecretString};

use super::findings::Findings;
use super::raw::{RawCredentials, RawSecret};
use crate::yaml::Spanned;

/// A shorter credential can be guessed.
const LEAST_BYTES: usize = 16;
const HINT: &str = "make it with `openssl rand -hex 32`";

/// The credential that `raw` names, if it can be shown in a header and cannot be guessed. Its content is never repeated.
pub(super) fn credential(
    findings: &mut Findings,
    name: &str,
    raw: &Spanned<RawSecret>,
) -> Option<SecretString> {
    let credential = findings.secret(name, raw)?;
    let shown = credential.expose_secret();
    if shown.len() < LEAST_BYTES {
        let what = format!(
            "{name} has {} bytes, and needs at least {LEAST_BYTES}",
            shown.len()
        );
        findings.add(raw.referenced, what, HINT);
        return None;
    }
    if !shown.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!("{name} holds a blank, or a character that no header carries");
        findings.add(raw.referenced, what, HINT);
        return None;
    }
    Some(credential)
}

/// Each caller has its own, so that the filter cannot register sessions.
pub(super) fn differ(
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
            "give each caller its own, so that the filter cannot register sessions",
        );
    }
}
