//! `authorization.login`: at which of `issuers[]` users log in, and how they are sent there.

use std::collections::BTreeMap;

use url::Url;

use super::UpstreamLoginConfig;
use super::raw::{RawAuthorization, RawLogin};
use super::surroundings::Surroundings;
use crate::config::IssuerConfig;
use crate::config::findings::{Findings, shown};
use crate::config::raw::Text;
use crate::yaml::{Location, Spanned};

/// The upstream login; adds a problem for each fault.
pub(super) fn login(
    findings: &mut Findings,
    raw: &Spanned<RawAuthorization>,
    around: &Surroundings<'_>,
) -> Option<UpstreamLoginConfig> {
    let login = raw.value.login.as_ref();
    let place = login.map_or(raw.referenced, |login| login.referenced);
    let login = login.map(|login| &login.value);
    let issuer = one_of(findings, place, login, around);
    let scopes = scopes(findings, login);
    let connector_id = connector_id(findings, login);
    let authorization_endpoint: Option<Option<Url>> =
        match login.and_then(|login| login.authorization_endpoint.as_ref()) {
            Some(text) => findings.endpoint("login.authorization_endpoint", text).map(Some),
            None => Some(None),
        };
    let issuer = issuer?;
    Some(UpstreamLoginConfig {
        issuer: issuer.issuer.clone(),
        client_id: issuer.client_id.clone(),
        scopes: scopes?,
        connector_id: connector_id?,
        authorization_endpoint: authorization_endpoint?,
        parameters: parameters(findings, login)?,
    })
}

/// The one of `issuers[]` that `issuer` and `client_id`, as far as they are given, identify.
fn one_of<'a>(
    findings: &mut Findings,
    place: Location,
    login: Option<&RawLogin>,
    around: &Surroundings<'a>,
) -> Option<&'a IssuerConfig> {
    let issuer = login.and_then(|login| login.issuer.as_ref());
    let client = login.and_then(|login| login.client_id.as_ref());
    let fits = |text: Option<&Text>, value: &str| text.is_none_or(|text| text.value == value);
    let mut found = around
        .issuers
        .iter()
        .filter(|config| fits(issuer, &config.issuer) && fits(client, &config.client_id));
    let (what, hint) = match (found.next(), found.next()) {
        (Some(config), None) => return Some(config),
        (Some(_), Some(_)) => (
            "authorization.login fits several of issuers[]",
            "add login.issuer and login.client_id of the one at which users log in",
        ),
        (None, _) if around.has_problems => return None,
        (None, _) => (
            "authorization.login names none of issuers[]",
            "write issuer and client_id exactly as in issuers[]; the client's secret is there too",
        ),
    };
    let place = issuer.or(client).map_or(place, |text| text.referenced);
    findings.add(place, what, hint);
    None
}

/// The scopes as written, `None` if none are; nothing if they are not usable.
fn scopes(findings: &mut Findings, login: Option<&RawLogin>) -> Option<Option<Vec<String>>> {
    let Some(scopes) = login.and_then(|login| login.scopes.as_ref()) else {
        return Some(None);
    };
    let token = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let mut is_usable = true;
    for scope in &scopes.value {
        if scope.value.is_empty() || !scope.value.bytes().all(token) {
            is_usable = false;
            findings.add(
                scope.referenced,
                format!("scope {:?} is not usable", shown(&scope.value)),
                "write one scope per entry (RFC 6749 §3.3)",
            );
        }
    }
    for (needed, why) in [
        ("openid", "without it the issuer returns no ID token"),
        (
            "offline_access",
            "without it the issuer returns no refresh token, and the login ends with its first ID token",
        ),
    ] {
        if scopes.value.iter().all(|scope| scope.value != needed) {
            is_usable = false;
            findings.add(
                scopes.referenced,
                format!("login.scopes lacks {needed}"),
                format!("add it: {why}"),
            );
        }
    }
    is_usable.then(|| Some(scopes.value.iter().map(|scope| scope.value.clone()).collect()))
}

/// The further parameters of the authorization request; nothing if one is not usable.
fn parameters(findings: &mut Findings, login: Option<&RawLogin>) -> Option<BTreeMap<String, String>> {
    /// What control itself sends.
    const OWN: [&str; 9] = [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    ];
    let mut is_usable = true;
    let written = login.map(|login| &login.parameters).into_iter().flatten();
    let parameters = written.map(|(name, text)| {
        if name.is_empty() || OWN.contains(&name.as_str()) {
            is_usable = false;
            findings.add(
                text.referenced,
                format!(
                    "login.parameters names {:?}, which control sends itself",
                    shown(name)
                ),
                "name only what the issuer asks for beyond OpenID Connect, such as audience at Auth0",
            );
        }
        (name.clone(), text.value.clone())
    });
    let parameters = parameters.collect();
    is_usable.then_some(parameters)
}

fn connector_id(findings: &mut Findings, login: Option<&RawLogin>) -> Option<Option<String>> {
    let Some(text) = login.and_then(|login| login.connector_id.as_ref()) else {
        return Some(None);
    };
    if text.value.is_empty() {
        findings.add(
            text.referenced,
            "login.connector_id is empty",
            "write the id of one of Dex's connectors, or leave it out for Dex's page of connectors",
        );
        return None;
    }
    Some(Some(text.value.clone()))
}
