//! Checks `authorization`, alone and against the rest of the configuration.

use std::time::Duration;

use super::raw::RawAuthorization;
use super::surroundings::Surroundings;
use super::{AuthorizationConfig, clients, keys, login, origin};
use crate::config::ResourceMetadata;
use crate::config::durations;
use crate::config::findings::{Findings, shown};
use crate::config::raw::Text;
use crate::yaml::Spanned;

/// The scope of an access token: calling the MCP server that it is for.
const SCOPE: &str = "mcp";

/// A gateway is in front of control, and appends the client's address to `X-Forwarded-For`.
const TRUSTED_PROXIES: usize = 1;
const MOST_TRUSTED_PROXIES: u32 = 16;

/// The authorization server's configuration; adds a problem for each fault.
pub(in crate::config) fn authorization(
    findings: &mut Findings,
    raw: &Spanned<RawAuthorization>,
    around: &Surroundings<'_>,
) -> Option<AuthorizationConfig> {
    let value = &raw.value;
    let url = origin::issuer(findings, &value.issuer);
    if let Some(url) = &url {
        origin::check_collisions(findings, &value.issuer, url, around);
    }
    let login = login::login(findings, raw, around);
    let signing_keys = keys::signing_keys(findings, &value.signing_keys.value);
    let lifetimes = Lifetimes::checked(findings, value, around.session_lifetime);
    let default_server = default_server(findings, value.default_server.as_ref(), around);
    let may_have_one = around.has_problems || around.has_resources;
    if !may_have_one && around.servers.iter().all(|server| server.resource.is_none()) {
        findings.add(
            raw.referenced,
            "authorization is set, and no server has a resource: none takes its tokens",
            "set servers[].resource to the URL that MCP clients use for the server, as in https://mcp.example.com/kubernetes",
        );
    }
    let clients = clients::clients(findings, &value.clients);
    let remembered_consent = clients::remembered_consent(findings, value.remembered_consent.as_ref());
    let trusted_proxies = trusted_proxies(findings, value.trusted_proxies.as_ref());
    Some(AuthorizationConfig {
        issuer: value.issuer.value.clone(),
        url: url?,
        login: login?,
        signing_keys: signing_keys?,
        access_token_lifetime: lifetimes.access_token,
        refresh_token_lifetime: lifetimes.refresh_token,
        login_lifetime: lifetimes.login,
        replay_window: lifetimes.replay_window,
        default_server,
        clients: clients?,
        remembered_consent,
        trusted_proxies,
    })
}

/// The metadata that all servers' documents share, where there is an authorization server: clients log in there.
pub(in crate::config) fn resource_metadata(
    findings: &mut Findings,
    raw: &RawAuthorization,
    configured: ResourceMetadata,
) -> ResourceMetadata {
    let issuer = &raw.issuer;
    let ResourceMetadata {
        mut authorization_servers,
        mut scopes,
    } = configured;
    if authorization_servers.is_empty() {
        authorization_servers.push(issuer.value.clone());
    } else if !authorization_servers.contains(&issuer.value) {
        findings.add(
            issuer.referenced,
            "resource_metadata.authorization_servers does not name authorization.issuer: no client would come here to log in",
            "add the issuer there, or leave that list out",
        );
    }
    if scopes.is_empty() {
        scopes.push(SCOPE.to_owned());
    }
    ResourceMetadata {
        authorization_servers,
        scopes,
    }
}

struct Lifetimes {
    access_token: Duration,
    refresh_token: Duration,
    login: Duration,
    replay_window: Duration,
}

impl Lifetimes {
    fn checked(findings: &mut Findings, raw: &RawAuthorization, session: Duration) -> Self {
        let access_token = findings.bounded_duration(
            "access_token_lifetime",
            raw.access_token_lifetime.as_ref(),
            durations::ACCESS_TOKEN_LIFETIME,
        );
        let login = findings.positive_duration(
            "login_lifetime",
            raw.login_lifetime.as_ref(),
            durations::LOGIN_LIFETIME,
        );
        let refresh_token = findings.positive_duration(
            "refresh_token_lifetime",
            raw.refresh_token_lifetime.as_ref(),
            durations::REFRESH_TOKEN_LIFETIME.min(session).min(login),
        );
        if let Some(text) = &raw.refresh_token_lifetime {
            Self::check_refresh_token(findings, text, refresh_token, session, login);
        }
        Self {
            access_token,
            refresh_token,
            login,
            replay_window: replay_window(findings, raw.replay_window.as_ref()),
        }
    }

    fn check_refresh_token(
        findings: &mut Findings,
        text: &Text,
        refresh_token: Duration,
        session: Duration,
        login: Duration,
    ) {
        if refresh_token > login {
            findings.add(
                text.referenced,
                format!(
                    "refresh_token_lifetime is longer than login_lifetime, {}s",
                    login.as_secs()
                ),
                "make it shorter, or login_lifetime longer: the login ends then in any case",
            );
        } else if refresh_token > session {
            findings.add(
                text.referenced,
                format!(
                    "refresh_token_lifetime is longer than session_lifetime, {}s",
                    session.as_secs()
                ),
                "make it shorter, or session_lifetime longer: a refresh token opens nothing after its session has ended",
            );
        }
    }
}

fn replay_window(findings: &mut Findings, text: Option<&Text>) -> Duration {
    const LONGEST: Duration = Duration::from_secs(300);
    let window = findings.duration("replay_window", text, Duration::from_secs(60));
    if let (true, Some(text)) = (window > LONGEST, text) {
        findings.add(
            text.referenced,
            "replay_window is longer than 300s",
            "for this long a stolen refresh token gets the same answer as its owner: parallel processes of one client need \
             60s, and 0s answers each token once",
        );
    }
    window
}

fn default_server(findings: &mut Findings, text: Option<&Text>, around: &Surroundings<'_>) -> Option<String> {
    let text = text?;
    let server = around.servers.iter().find(|server| server.name == text.value);
    let what = match server {
        Some(server) if server.resource.is_some() => return Some(text.value.clone()),
        Some(_) => "has no resource",
        None if around.has_problems => return None,
        None if around.has_resources => return Some(text.value.clone()),
        None => "is not one of servers[].name",
    };
    findings.add(
        text.referenced,
        format!("default_server {:?} {what}", shown(&text.value)),
        "name a server with a resource: clients of MCP 2025-03-26, which send no resource, get its tokens",
    );
    None
}

fn trusted_proxies(findings: &mut Findings, number: Option<&Spanned<u32>>) -> usize {
    let Some(number) = number else {
        return TRUSTED_PROXIES;
    };
    if number.value > MOST_TRUSTED_PROXIES {
        findings.add(
            number.referenced,
            format!("trusted_proxies is more than {MOST_TRUSTED_PROXIES}"),
            "write the number of proxies in front of control that append to X-Forwarded-For: 1 behind one Envoy, 0 without",
        );
    }
    usize::try_from(number.value).unwrap_or(TRUSTED_PROXIES)
}
