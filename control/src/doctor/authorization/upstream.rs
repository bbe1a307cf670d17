//! The login at the issuer: whether it knows our redirect URI, and whether it gives refresh tokens.

use reqwest::header::LOCATION;
use serde_json::Value;
use url::Url;

use super::{AuthorizationChecks, shown};
use crate::doctor::probe::{ProbeAnswer, ProbeFailure, Prober};
use crate::doctor::report::{Check, Finding};
use crate::upstream::dialect::Dialect;

impl AuthorizationChecks<'_> {
    /// Checks the login at the issuer. It begins an authorization request, which the issuer drops when no user logs in.
    pub(super) async fn login(&self) -> Vec<Check> {
        let discovery = self.discovery().await;
        let mut checks = Vec::new();
        if let Some(document) = &discovery {
            checks.push(self.refresh_tokens(document));
        }
        let configured = self.authorization.login.authorization_endpoint.clone();
        let discovered = || {
            let endpoint = discovery.as_ref()?["authorization_endpoint"].as_str()?;
            Url::parse(endpoint).ok()
        };
        checks.push(match configured.or_else(discovered) {
            Some(endpoint) => self.redirect_uri(endpoint).await,
            None => Check::fail(
                self.named("login"),
                "the issuer's discovery document names no authorization_endpoint",
                "set authorization.login.authorization_endpoint",
            ),
        });
        checks
    }

    async fn discovery(&self) -> Option<Value> {
        let issuer = self.authorization.login.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{issuer}/.well-known/openid-configuration")).ok()?;
        self.prober.get(&url).await.ok()?.json()
    }

    /// Whether the issuer gives refresh tokens, as far as its document states.
    fn refresh_tokens(&self, document: &Value) -> Check {
        const HINT: &str = "without a refresh token a login ends with its first ID token: allow offline_access and the grant \
                            type refresh_token at the issuer (Dex: no entry needed, unless grantTypes lists others)";
        let name = self.named("refresh tokens of the issuer");
        let lacks = |list: &str, value: &str| {
            document[list]
                .as_array()
                .is_some_and(|values| values.iter().all(|one| one.as_str() != Some(value)))
        };
        if lacks("grant_types_supported", "refresh_token") {
            return Check::fail(name, "grant_types_supported lacks refresh_token", HINT);
        }
        let login = &self.authorization.login;
        let issuer = (self.config.issuers.iter())
            .find(|issuer| issuer.issuer == login.issuer && issuer.client_id == login.client_id);
        let requested = login.scope(issuer.map_or_else(Dialect::default, |issuer| issuer.dialect));
        let unknown: Vec<&str> = requested
            .split(' ')
            .filter(|scope| lacks("scopes_supported", scope))
            .collect();
        if unknown.is_empty() {
            Check::ok(
                name,
                "the issuer supports the requested scopes, offline_access among them",
            )
        } else {
            Check::warn(
                name,
                format!("scopes_supported lacks {}", unknown.join(", ")),
                HINT,
            )
        }
    }

    /// Begins a login without a user (`prompt=none`) and reads from the answer whether the redirect URI is registered.
    async fn redirect_uri(&self, endpoint: Url) -> Check {
        let name = self.named("redirect URI at the issuer");
        let client_id = &self.authorization.login.client_id;
        let callback = self.authorization.callback();
        match begun(self.prober, self.request(endpoint), &callback).await {
            Ok(answer) => redirect_uri_check(name, &answer, &callback, client_id),
            Err(failure) => Check::warned(
                name,
                Finding::from(failure).if_only_clients_reach("the authorization endpoint"),
            ),
        }
    }

    /// The authorization request.
    fn request(&self, mut endpoint: Url) -> Url {
        let login = &self.authorization.login;
        endpoint
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &login.client_id)
            .append_pair("redirect_uri", &self.authorization.callback())
            .append_pair("scope", "openid")
            .append_pair("state", "doctor")
            .append_pair("nonce", "doctor")
            .append_pair("prompt", "none");
        if let Some(connector_id) = &login.connector_id {
            endpoint
                .query_pairs_mut()
                .append_pair("connector_id", connector_id);
        }
        endpoint
    }
}

/// The issuer's answer once it has looked at the request. Dex first leads to the request's connector, by a redirect or by
/// a page with a link for each, and looks there.
pub(in crate::doctor) async fn begun(
    prober: &Prober,
    mut url: Url,
    callback: &str,
) -> Result<ProbeAnswer, ProbeFailure> {
    const MOST_STEPS: usize = 5;
    let mut answer = prober.get(&url).await?;
    for _ in 0..MOST_STEPS {
        if leads_to(&answer, callback) {
            break;
        }
        let next = answer
            .header(LOCATION)
            .and_then(|location| url.join(location).ok());
        let next = next.or_else(|| linked_connector(&answer, &url));
        match next {
            // A connector's own issuer is not called.
            Some(next) if next.origin() == url.origin() && next != url => url = next,
            _ => break,
        }
        answer = prober.get(&url).await?;
    }
    Ok(answer)
}

/// The first link of a page of connectors that repeats the request.
fn linked_connector(answer: &ProbeAnswer, url: &Url) -> Option<Url> {
    let page = String::from_utf8_lossy(&answer.body);
    let links = page.split("href=\"").skip(1);
    let mut targets = links.filter_map(|rest| Some(rest.split_once('"')?.0.replace("&amp;", "&")));
    let target = targets.find(|target| target.contains("redirect_uri="))?;
    (answer.status == 200).then_some(())?;
    url.join(&target).ok()
}

fn leads_to(answer: &ProbeAnswer, callback: &str) -> bool {
    answer
        .header(LOCATION)
        .is_some_and(|location| location.starts_with(callback))
}

/// An issuer never redirects to a URI that is not registered (RFC 6749 §4.1.2.1), and shows a page with the reason.
pub(in crate::doctor) fn redirect_uri_check(
    name: String,
    answer: &ProbeAnswer,
    callback: &str,
    client_id: &str,
) -> Check {
    if leads_to(answer, callback) {
        return Check::ok(name, format!("{callback} is registered"));
    }
    let page = String::from_utf8_lossy(&answer.body).to_lowercase();
    let names_it = page.contains("redirect_uri") || page.contains("redirect uri");
    match answer.status {
        200..=399 => Check::ok(
            name,
            format!("the issuer begins a login for {callback}: it is registered"),
        ),
        400..=499 if names_it => Check::fail(
            name,
            format!("the issuer does not know {callback} (status {})", answer.status),
            format!(
                "add it, byte for byte, to the redirect URIs of the client {client_id} at the issuer (Dex: redirectURIs)"
            ),
        ),
        400..=499 => Check::warn(
            name,
            format!(
                "the issuer refuses to begin a login (status {}): {}",
                answer.status,
                shown(&Value::String(
                    page.chars().filter(|letter| *letter != '\n').collect()
                ))
            ),
            format!("check the client {client_id} at the issuer, and its redirect URI {callback}"),
        ),
        status => Check::warned(name, Finding::of_status(status, "")),
    }
}
