//! Checks the `console` section.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::ConsoleConfig;
use super::raw::RawConsole;
use crate::config::endpoint::parse_issuer;
use crate::config::findings::{Findings, shown};
use crate::config::raw_values::Text;
use crate::config::{IssuerConfig, StatedTreatment, UpstreamLoginConfig, issuers, tls};
use crate::yaml::Spanned;

const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];
const SESSION_LIFETIME: Duration = Duration::from_secs(3600);
/// Group memberships are read at the login only, so a session is short.
const LONGEST_SESSION: Duration = Duration::from_secs(12 * 3600);
/// More are a mistake.
const MOST_TRUSTED_PROXIES: u32 = 16;

/// The console; `api` is the address of control's own listener. Adds a problem for each fault.
pub(in crate::config) fn console(
    findings: &mut Findings,
    raw: &Spanned<RawConsole>,
    api: Option<SocketAddr>,
) -> Option<ConsoleConfig> {
    let raw = &raw.value;
    let listen = listen(findings, &raw.listen, api);
    let tls = raw.tls.as_ref().map(|raw| tls::tls(findings, raw));
    let public_url = public_url(findings, &raw.public_url);
    let client = client(findings, raw);
    let login = login(findings, raw);
    let groups = groups(findings, &raw.groups);
    let groups_claim = named(findings, "groups_claim", raw.groups_claim.as_ref(), "groups");
    let session_lifetime = session_lifetime(findings, raw.session_lifetime.as_ref());
    let trusted_proxies = trusted_proxies(findings, raw.trusted_proxies.as_ref());
    Some(ConsoleConfig {
        listen: listen?,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        public_url: public_url?,
        client: client?,
        login: login?,
        groups: groups?,
        groups_claim: groups_claim?,
        session_lifetime,
        trusted_proxies,
    })
}

fn listen(findings: &mut Findings, text: &Text, api: Option<SocketAddr>) -> Option<SocketAddr> {
    let Ok(address) = text.value.parse::<SocketAddr>() else {
        findings.add(
            text.referenced,
            format!(
                "console.listen {:?} is not an address and a port",
                shown(&text.value)
            ),
            "write it as in \"127.0.0.1:8081\"; port 0 takes a free one",
        );
        return None;
    };
    if address.port() != 0 && api == Some(address) {
        findings.add(
            text.referenced,
            "console.listen is the address of listen",
            "give the console a port of its own, which the gateway does not reach",
        );
        return None;
    }
    Some(address)
}

fn public_url(findings: &mut Findings, text: &Text) -> Option<Url> {
    const EXAMPLE: &str = "write the scheme, host and port at which operators' browsers reach the console, as in \
                           https://tokenward.example.com";
    let what = match parse_issuer(&text.value) {
        Ok(url) if url.origin().ascii_serialization() == text.value.trim_end_matches('/') => {
            return Some(url);
        }
        Ok(url) if url.path() != "/" => "has a path".to_owned(),
        Ok(_) => "is not in its normal form".to_owned(),
        Err(bad) => bad.to_string(),
    };
    findings.add(
        text.referenced,
        format!("console.public_url {:?} {what}", shown(&text.value)),
        EXAMPLE,
    );
    None
}

/// A name that is not empty.
fn named(findings: &mut Findings, name: &str, text: Option<&Text>, default: &str) -> Option<String> {
    match text {
        None => Some(default.to_owned()),
        Some(text) if text.value.is_empty() => {
            findings.add(
                text.referenced,
                format!("console.{name} is empty"),
                "write it, or leave it out",
            );
            None
        }
        Some(text) => Some(text.value.clone()),
    }
}

fn client(findings: &mut Findings, raw: &RawConsole) -> Option<IssuerConfig> {
    let issuer = findings.issuer("console.issuer", &raw.issuer);
    let client_id = named(findings, "client_id", Some(&raw.client_id), "");
    let client_secret = findings.secret("console.client_secret", &raw.client_secret);
    let client_auth = findings.client_auth("console.client_auth", raw.client_auth.as_ref());
    let mut endpoint = |name: &str, text: Option<&Text>| match text {
        None => Some(None),
        Some(text) => findings.own_endpoint(name, text).map(Some),
    };
    let token_endpoint = endpoint("console.token_endpoint", raw.token_endpoint.as_ref());
    let jwks_uri = endpoint("console.jwks_uri", raw.jwks_uri.as_ref());
    let (dialect, source) = issuers::dialect(findings, issuer.as_ref(), None);
    issuer?;
    Some(IssuerConfig {
        issuer: raw.issuer.value.clone(),
        client_id: client_id?,
        client_secret: client_secret?,
        token_endpoint: token_endpoint?,
        jwks_uri: jwks_uri?,
        trusted_peers: Vec::new(),
        policy: dialect.policy(),
        rejected_keys: Vec::new(),
        client_auth,
        dialect,
        dialect_source: source,
        stated: StatedTreatment::default(),
        refresh_tokens: dialect.refresh_tokens(),
        sign_out: dialect.sign_out(),
        relay: None,
    })
}

fn login(findings: &mut Findings, raw: &RawConsole) -> Option<UpstreamLoginConfig> {
    let scopes = scopes(findings, raw.scopes.as_ref());
    let connector_id = match raw.connector_id.as_ref() {
        None => Some(None),
        text => named(findings, "connector_id", text, "").map(Some),
    };
    let authorization_endpoint = match &raw.authorization_endpoint {
        None => Some(None),
        Some(text) => findings
            .endpoint("console.authorization_endpoint", text)
            .map(Some),
    };
    Some(UpstreamLoginConfig {
        issuer: raw.issuer.value.clone(),
        client_id: raw.client_id.value.clone(),
        scopes: scopes?,
        connector_id: connector_id?,
        authorization_endpoint: authorization_endpoint?,
        parameters: BTreeMap::new(),
    })
}

fn scopes(findings: &mut Findings, raw: Option<&Spanned<Vec<Text>>>) -> Option<Option<Vec<String>>> {
    let Some(raw) = raw else {
        return Some(Some(SCOPES.map(str::to_owned).to_vec()));
    };
    let token = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let mut is_usable = true;
    for scope in &raw.value {
        if scope.value.is_empty() || !scope.value.bytes().all(token) {
            is_usable = false;
            findings.add(
                scope.referenced,
                format!("console.scopes: {:?} is not usable", shown(&scope.value)),
                "write one scope per entry (RFC 6749 §3.3)",
            );
        }
    }
    if raw.value.iter().all(|scope| scope.value != "openid") {
        is_usable = false;
        findings.add(
            raw.referenced,
            "console.scopes lacks openid",
            "add it: without it the issuer returns no ID token",
        );
    }
    is_usable.then(|| Some(raw.value.iter().map(|scope| scope.value.clone()).collect()))
}

fn groups(findings: &mut Findings, raw: &Spanned<Vec<Text>>) -> Option<Vec<String>> {
    const HINT: &str = "name the groups of the operators as the issuer's groups claim has them: the console shows every user's \
                        name and signs users out";
    if raw.value.is_empty() {
        findings.add(raw.referenced, "console.groups is empty", HINT);
        return None;
    }
    let mut is_usable = true;
    for group in raw.value.iter().filter(|group| group.value.is_empty()) {
        is_usable = false;
        findings.add(group.referenced, "a group in console.groups is empty", HINT);
    }
    is_usable.then(|| raw.value.iter().map(|group| group.value.clone()).collect())
}

fn session_lifetime(findings: &mut Findings, text: Option<&Text>) -> Duration {
    let lifetime = findings.positive_duration("console.session_lifetime", text, SESSION_LIFETIME);
    if let (true, Some(text)) = (lifetime > LONGEST_SESSION, text) {
        findings.add(
            text.referenced,
            format!(
                "console.session_lifetime is longer than {}s",
                LONGEST_SESSION.as_secs()
            ),
            "make it shorter: groups are read at the login, so an operator who leaves the group stays for this long",
        );
    }
    lifetime
}

fn trusted_proxies(findings: &mut Findings, number: Option<&Spanned<u32>>) -> usize {
    let Some(number) = number else { return 0 };
    if number.value > MOST_TRUSTED_PROXIES {
        findings.add(
            number.referenced,
            format!("console.trusted_proxies is more than {MOST_TRUSTED_PROXIES}"),
            "write the number of proxies in front of the console that append to X-Forwarded-For: 1 behind one Envoy, 0 without",
        );
    }
    usize::try_from(number.value).unwrap_or(0)
}
