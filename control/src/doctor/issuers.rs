//! Checks of issuers and of remote issuers: discovery documents, keys, clocks, and client authentication.

use std::time::Duration;

use url::Url;

use super::probe::{ProbeAnswer, ProbeFailure, Prober};
use super::report::{Check, CheckOutcome, Finding};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{ClientAuth, ExchangeConfig, IssuerConfig, ServerConfig, TokenSource, Verification};
use crate::upstream::dialect::Dialect;
use crate::upstream::issuer::answer::refusal_of;
use crate::upstream::issuer::client::ClientCredentials;
use crate::upstream::issuer::discovery::{Endpoints, read_document};
use crate::upstream::issuer::key_set::{BadKeySet, KeySet};
use crate::upstream::issuer::loggable::loggable;

/// Clock differences up to this are not reported.
const TOLERATED_CLOCK_SKEW_SECONDS: u64 = 5;

const OWN_ADDRESS: &str =
    "set token_endpoint to the address at which the issuer itself answers, such as its Service";

/// Checks issuers with [`Prober`].
pub(super) struct Issuers<'a> {
    pub(super) prober: &'a Prober,
    pub(super) margin: Duration,
}

impl Issuers<'_> {
    /// Checks one home issuer: discovery, keys, clock, token endpoint.
    pub(super) async fn home(&self, config: &IssuerConfig) -> Vec<Check> {
        let name = format!("issuer {} ({})", config.issuer, config.client_id);
        let mut checks = Vec::new();
        let (mut token_endpoint, mut jwks_uri) = (config.token_endpoint.clone(), config.jwks_uri.clone());
        let mut discovered_auth = None;
        if token_endpoint.is_none() || jwks_uri.is_none() {
            match self.discovered(&config.issuer).await {
                Ok(found) => {
                    checks.push(Check::ok(
                        format!("{name}: discovery"),
                        "the document is the issuer's own",
                    ));
                    token_endpoint = token_endpoint.or(Some(found.token_endpoint));
                    jwks_uri = jwks_uri.or(Some(found.jwks_uri));
                    discovered_auth = Some(found.client_auth);
                }
                Err(finding) => checks.push(Check::failed(format!("{name}: discovery"), finding)),
            }
        }
        if let Some(jwks_uri) = jwks_uri {
            checks.extend(self.keys(&name, &jwks_uri).await);
        }
        if let Some(endpoint) = token_endpoint {
            let auth = config.client_auth.or(discovered_auth).unwrap_or_default();
            let credentials = ClientCredentials {
                issuer: &config.issuer,
                dialect: config.dialect,
                now_ms: SystemClock.now_ms(),
                id: &config.client_id,
                secret: &config.client_secret,
                auth,
            };
            let answer = self
                .prober
                .empty_token_request(&endpoint, credentials, "refresh_token")
                .await;
            let endpoint_name = format!("{name}: token endpoint");
            checks.push(if answer.as_ref().is_ok_and(|answer| answer.is_marked) {
                Check::fail(
                    endpoint_name,
                    "control itself answers there: its calls come back to it",
                    OWN_ADDRESS,
                )
            } else {
                let hint = "check client_id, client_secret and client_auth";
                token_endpoint_check(endpoint_name, (auth, config.dialect), answer, hint)
            });
        }
        checks.extend(self.kind(&name, config).await);
        if let Some(relay) = &config.relay {
            checks.extend(self.relay(&name, config, relay).await);
        }
        checks
    }

    /// Checks one server: its configuration, and for an exchange the remote issuer.
    pub(super) async fn server(&self, config: &ServerConfig) -> Vec<Check> {
        let name = format!("server {}", config.name);
        match &config.token {
            TokenSource::Forward if config.required_audiences.is_empty() => vec![Check::warn(
                name,
                "forwards the login's token, whatever its audiences",
                "set requiredAudiences, so that a token that the server would reject is refused before it is sent",
            )],
            TokenSource::Forward => vec![Check::ok(
                name,
                format!(
                    "forwards the login's token, which must have {}",
                    config.required_audiences.join(", ")
                ),
            )],
            TokenSource::ForwardAccessToken => vec![Check::ok(
                name,
                "forwards the login's access token, whose audiences control checks where it is a JWT",
            )],
            TokenSource::Exchange(exchange) => self.remote(&name, exchange, &config.required_audiences).await,
        }
    }

    async fn remote(&self, name: &str, config: &ExchangeConfig, required_audiences: &[String]) -> Vec<Check> {
        let mut checks = Vec::new();
        let introspects = config.verification == Verification::Introspection;
        let verifies = config.verification == Verification::Signature;
        let needs_document = introspects || (verifies && config.jwks_uri.is_none());
        // Otherwise nothing depends on the remote's document, and it need not be reachable from here.
        let (document, missing) = if needs_document || config.client_auth.is_none() {
            match self.discovered(&config.expected_issuer).await {
                Ok(found) => (Some(found), None),
                Err(finding) => (None, Some(finding)),
            }
        } else {
            (None, None)
        };
        let document = document.as_ref();
        if let Some(finding) = missing.filter(|_| needs_document) {
            checks.push(Check::failed(format!("{name}: discovery"), finding));
        }
        let jwks_uri = config.jwks_uri.as_ref().or(document.map(|found| &found.jwks_uri));
        if let Some(jwks_uri) = jwks_uri.filter(|_| verifies) {
            checks.extend(self.keys(name, jwks_uri).await);
        }
        if introspects {
            checks.extend(document.map(|found| introspection_check(name, found)));
        }
        let auth = (config.client_auth)
            .or(document.map(|found| found.client_auth))
            .unwrap_or_default();
        let credentials = ClientCredentials {
            issuer: &config.expected_issuer,
            dialect: config.dialect,
            now_ms: SystemClock.now_ms(),
            id: &config.client_id,
            secret: &config.client_secret,
            auth,
        };
        let answer = self
            .prober
            .empty_token_request(&config.token_endpoint, credentials, config.grant.grant_type())
            .await;
        let client = token_endpoint_check(
            format!("{name}: exchange at {}", config.token_endpoint),
            (auth, config.dialect),
            answer,
            "check clientCredentials and their clientAuth, and that the client may use the grant of this exchange",
        );
        let is_accepted = client.outcome == CheckOutcome::Ok;
        checks.push(client);
        if is_accepted {
            let trial = self.trial(name, config, required_audiences, credentials);
            checks.extend(trial.await);
        }
        checks
    }

    pub(super) async fn discovered(&self, issuer: &str) -> Result<Endpoints, Finding> {
        const NO_DOCUMENT: &str = "compare issuer with the issuer's own identifier: its document is at \
                                   /.well-known/openid-configuration below it; or set token_endpoint and jwks_uri";
        const UNUSABLE: &str = "if that is the issuer, set issuer to exactly what the document names (a trailing slash \
                                counts); if not, the address leads to another issuer; or set token_endpoint and jwks_uri";
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let url = Url::parse(&address).map_err(|_| Finding::new("the issuer is not a URL", NO_DOCUMENT))?;
        let answer = self.prober.get(&url).await?;
        if answer.status != 200 {
            return Err(Finding::of_status(answer.status, NO_DOCUMENT));
        }
        read_document(issuer, &answer.body).map_err(|failed| Finding::new(failed.to_string(), UNUSABLE))
    }

    async fn keys(&self, name: &str, jwks_uri: &Url) -> Vec<Check> {
        const HINT: &str = "check jwks_uri: the issuer's discovery document names it";
        let keys = format!("{name}: keys");
        let answer = match self.prober.get(jwks_uri).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return vec![Check::failed(keys, Finding::of_status(answer.status, HINT))],
            Err(failure) => return vec![Check::failed(keys, failure)],
        };
        let check = key_set_check(keys, KeySet::read(&answer.body), answer.took);
        let clock = self.clock(name, &answer);
        [check].into_iter().chain(clock).collect()
    }

    fn clock(&self, name: &str, answer: &ProbeAnswer) -> Option<Check> {
        const HINT: &str = "synchronise both clocks: freshness is computed with this one";
        let ahead = answer.clock_ahead_seconds?;
        let name = format!("{name}: clock");
        let off = ahead.unsigned_abs();
        let finding = format!("the issuer's clock is {ahead} s ahead of this one");
        Some(if off <= TOLERATED_CLOCK_SKEW_SECONDS {
            Check::ok(name, finding)
        } else if off <= self.margin.as_secs() {
            Check::warn(name, finding, HINT)
        } else {
            Check::fail(name, format!("{finding}, more than margin"), HINT)
        })
    }
}

/// Whether exchanged tokens can be introspected as `verify: introspection` wants it.
fn introspection_check(name: &str, found: &Endpoints) -> Check {
    let name = format!("{name}: introspection");
    match &found.introspection_endpoint {
        Some(endpoint) => Check::ok(name, format!("exchanged tokens are introspected at {endpoint}")),
        None => Check::fail(
            name,
            "the remote issuer has no introspection endpoint",
            "set verify: expires_in, or signature where its access tokens are JWTs",
        ),
    }
}

fn key_set_check(name: String, set: Result<KeySet, BadKeySet>, took: Duration) -> Check {
    const OTHER_ALGORITHM: &str = "let the issuer sign with RS256, ES256 or another asymmetric algorithm";
    let set = match set {
        Ok(set) => set,
        Err(bad) => {
            return Check::fail(
                name,
                bad.to_string(),
                "check jwks_uri; an empty set can mean that the issuer has not generated its keys yet",
            );
        }
    };
    let missed = match set.unusable() {
        0 => String::new(),
        missed => format!("; {missed} left out: {}", set.unusable_reasons()),
    };
    if set.keys.is_empty() {
        return Check::fail(
            name,
            format!("no key in the set can be used{missed}"),
            OTHER_ALGORITHM,
        );
    }
    let finding = format!(
        "{} usable ({}), answered in {} ms{missed}",
        set.keys.len(),
        names(&set),
        took.as_millis()
    );
    if missed.is_empty() {
        Check::ok(name, finding)
    } else {
        Check::warn(
            name,
            finding,
            "tokens that those keys sign are refused; ".to_owned() + OTHER_ALGORITHM,
        )
    }
}

/// The first keys, under the names that `rejected_keys` accepts.
fn names(set: &KeySet) -> String {
    const MAX_NAMED: usize = 4;
    let name = |key: &crate::upstream::issuer::jwk::VerifyingKey| {
        let id = key
            .id()
            .map_or_else(|| "without kid".to_owned(), |id| format!("kid {}", loggable(id)));
        format!("{id}, thumbprint {}", key.thumbprint())
    };
    let mut names: Vec<String> = set.keys.iter().take(MAX_NAMED).map(name).collect();
    if set.keys.len() > MAX_NAMED {
        names.push("and others".to_owned());
    }
    names.join("; ")
}

/// A request without a token is refused; the kind of refusal shows whether the client is accepted.
fn token_endpoint_check(
    name: String,
    (auth, dialect): (ClientAuth, Dialect),
    answer: Result<ProbeAnswer, ProbeFailure>,
    hint: &str,
) -> Check {
    const ELSEWHERE: &str = "check the address: the issuer's discovery document names the token endpoint";
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return Check::failed(name, failure),
    };
    let shown = auth.method();
    match (answer.status, answer.oauth_error().as_deref()) {
        (_, Some("invalid_client" | "unauthorized_client")) | (401, None) => Check::fail(
            name,
            format!("the client is refused (status {}) with {shown}", answer.status),
            hint,
        ),
        (_, Some("unsupported_grant_type")) => Check::fail(name, "the grant type is not supported", hint),
        (300..=399 | 429 | 500.., _) => Check::failed(name, Finding::of_status(answer.status, ELSEWHERE)),
        _ if refusal_of(&answer.raw(), dialect).is_ok() || answer.has_tokens(dialect) => Check::ok(
            name,
            format!(
                "answers in {} ms and accepts the client ({shown}); no token was presented",
                answer.took.as_millis()
            ),
        ),
        (status, _) => Check::fail(
            name,
            format!("status {status} without an OAuth error: this is not a token endpoint"),
            ELSEWHERE,
        ),
    }
}
