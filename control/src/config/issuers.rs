//! The `issuers` list: the clients that log users in, and the kind of each issuer.

use std::time::Duration;

use url::Url;

use super::endpoint::is_local;
use super::findings::{Findings, shown};
use super::raw::{RawIssuer, Text};
use super::{
    DialectSource, IssuerConfig, IssuerPolicy, RefreshTokens, SignOutAtIssuer, StatedTreatment, client_proof,
    relays,
};
use crate::upstream::dialect::Dialect;
use crate::yaml::Spanned;

pub(super) fn issuers(
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
        let checked = checked_issuer(findings, &issuer.value, trusted_peers);
        let dialect = checked
            .as_ref()
            .map_or(Dialect::default(), |config| config.dialect);
        let relay = relays::relay(findings, &issuer.value, stale_subject_grace, dialect);
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
    let (dialect, source) = dialect(findings, url.as_ref(), raw.dialect.as_ref());
    let stated = stated(findings, raw);
    let proof = client_proof::of_issuer(findings, raw, dialect);
    let config = IssuerConfig {
        client_auth: proof.as_ref().and_then(|proof| proof.auth),
        issuer: url.map(|_| raw.issuer.value.clone())?,
        client_id: raw.client_id.value.clone(),
        client_secret: proof?.secret,
        token_endpoint: match token_endpoint {
            Some(url) => Some(url?),
            None => None,
        },
        jwks_uri: match jwks_uri {
            Some(url) => Some(url?),
            None => None,
        },
        trusted_peers,
        rejected_keys: rejected_keys(findings, &raw.rejected_keys),
        stated,
        relay: None,
        dialect,
        dialect_source: source,
        policy: dialect.policy(),
        refresh_tokens: dialect.refresh_tokens(),
        sign_out: dialect.sign_out(),
    };
    Some(config.of_dialect(dialect, source))
}

/// The kind of the issuer at `url`.
pub(super) fn dialect(
    findings: &mut Findings,
    url: Option<&Url>,
    text: Option<&Text>,
) -> (Dialect, DialectSource) {
    if let Some(text) = text {
        let named = choice(
            findings,
            "dialect",
            Some(text),
            &Dialect::ALL.map(|it| (it.name(), it)),
        );
        return (named.unwrap_or_default(), DialectSource::Configured);
    }
    match url.and_then(Dialect::of_address) {
        Some(dialect) => (dialect, DialectSource::Address),
        None => (Dialect::default(), DialectSource::Default),
    }
}

fn stated(findings: &mut Findings, raw: &RawIssuer) -> StatedTreatment {
    use IssuerPolicy::{Strict, Tolerant};
    use RefreshTokens::{PerLogin, PerUser};
    use SignOutAtIssuer::{EndSession, Nothing, Revoke};
    StatedTreatment {
        policy: choice(
            findings,
            "policy",
            raw.policy.as_ref(),
            &[("tolerant", Tolerant), ("strict", Strict)],
        ),
        refresh_tokens: choice(
            findings,
            "refresh_tokens",
            raw.refresh_tokens.as_ref(),
            &[PerUser, PerLogin].map(|it| (it.name(), it)),
        ),
        sign_out: choice(
            findings,
            "sign_out",
            raw.sign_out.as_ref(),
            &[Revoke, EndSession, Nothing].map(|it| (it.name(), it)),
        ),
    }
}

/// The value that `text` names; adds a problem if it names none.
pub(super) fn choice<T: Copy>(
    findings: &mut Findings,
    field: &str,
    text: Option<&Text>,
    choices: &[(&str, T)],
) -> Option<T> {
    let text = text?;
    let named = choices.iter().find(|(name, _)| *name == text.value);
    if named.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        findings.add(
            text.referenced,
            format!("{field} {:?} is not known", shown(&text.value)),
            format!("write one of {}", names.join(", ")),
        );
    }
    named.map(|(_, value)| *value)
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
