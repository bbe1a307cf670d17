//! `authorization.signing_keys`: the private keys of access tokens.

use super::SigningKeysConfig;
use super::raw::RawSigningKeys;
use crate::authorization::access_token::SigningKeys;
use crate::config::findings::Findings;

/// Reads both keys; adds a problem if one is unusable or if they are the same.
pub(super) fn signing_keys(findings: &mut Findings, raw: &RawSigningKeys) -> Option<SigningKeysConfig> {
    let current = findings.pem("signing_keys.current", &raw.current);
    let next = match &raw.next {
        Some(next) => findings.pem("signing_keys.next", next).map(Some),
        None => Some(None),
    };
    let keys = SigningKeysConfig {
        current: current?,
        next: next?,
    };
    let current = SigningKeysConfig {
        current: keys.current.clone(),
        next: None,
    };
    let next_place = raw
        .next
        .as_ref()
        .map_or(raw.current.referenced, |next| next.referenced);
    let (name, place, bad) = match (
        SigningKeys::from_config(&current),
        SigningKeys::from_config(&keys),
    ) {
        (Ok(_), Ok(_)) => return Some(keys),
        (Err(bad), _) => ("current", raw.current.referenced, bad),
        (Ok(_), Err(bad)) => ("next", next_place, bad),
    };
    findings.add(
        place,
        format!("signing_keys.{name}: {bad}"),
        "the key that signs is current; one that will sign, or that signed until now, is next",
    );
    None
}
