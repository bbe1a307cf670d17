//! Whether an issuer is of the kind that control takes it for, and offers what its treatment needs.

use serde_json::{Map, Value};
use url::Url;

use super::issuers::Issuers;
use super::report::Check;
use crate::config::{ClientAuth, DialectSource, IssuerConfig, IssuerPolicy, SignOutAtIssuer};
use crate::upstream::dialect::Dialect;

impl Issuers<'_> {
    /// The issuer's discovery document; `None` if it has none that can be read: another check reports that.
    pub(super) async fn document(&self, issuer: &str) -> Option<Map<String, Value>> {
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let answer = self.prober.get(&Url::parse(&address).ok()?).await.ok()?;
        match answer.json() {
            Some(Value::Object(document)) if answer.status == 200 => Some(document),
            _ => None,
        }
    }

    /// Checks the kind of one home issuer.
    pub(super) async fn kind(&self, name: &str, config: &IssuerConfig) -> Vec<Check> {
        match self.document(&config.issuer).await {
            Some(document) => kind_checks(name, config, &document),
            None => vec![Check::warn(
                format!("{name}: kind"),
                config.treatment(),
                "set issuers[].dialect, because the discovery document cannot be read from here",
            )],
        }
    }
}

/// The issuer as control treats it once it has read `document`.
fn in_force(config: &IssuerConfig, document: &Map<String, Value>) -> IssuerConfig {
    match config.dialect_source {
        DialectSource::Default => {
            let dialect = Dialect::of_document(document).unwrap_or(Dialect::Standard);
            config.clone().of_dialect(dialect, DialectSource::Document)
        }
        _ => config.clone(),
    }
}

/// What the discovery document shows of an issuer.
fn kind_checks(name: &str, config: &IssuerConfig, document: &Map<String, Value>) -> Vec<Check> {
    let config = in_force(config, document);
    let kind = format!("{name}: kind");
    let mut checks = vec![match Dialect::of_document(document) {
        Some(shown) if shown != config.dialect && config.dialect != Dialect::Standard => Check::fail(
            kind,
            format!(
                "it counts as {} ({}), and its discovery document is that of {}",
                config.dialect.name(),
                config.dialect_source.explanation(),
                shown.name()
            ),
            format!("set issuers[].dialect: {}", shown.name()),
        ),
        _ => Check::ok(kind, config.treatment()),
    }];
    checks.extend(introspection(name, &config, document));
    checks.extend(sign_out(name, &config, document));
    checks.extend(client_authentication(name, &config, document));
    checks
}

/// A strict issuer without introspection cannot be asked whether a lost answer has used the refresh token up.
fn introspection(name: &str, config: &IssuerConfig, document: &Map<String, Value>) -> Option<Check> {
    let is_needed = config.policy == IssuerPolicy::Strict && !document.contains_key("introspection_endpoint");
    is_needed.then(|| {
        Check::warn(
            format!("{name}: introspection"),
            "it has no introspection endpoint, so a lost answer to a refresh ends the login",
            "where the issuer lets a refresh token be used twice for a while (a grace period or overlap), set policy: tolerant",
        )
    })
}

fn sign_out(name: &str, config: &IssuerConfig, document: &Map<String, Value>) -> Option<Check> {
    let name = format!("{name}: sign-out");
    let has = |member: &str| document.contains_key(member);
    match config.sign_out {
        SignOutAtIssuer::EndSession if !has("end_session_endpoint") => Some(Check::fail(
            name,
            "sign_out is end_session, and it has no end_session_endpoint",
            "set sign_out: revoke, or none",
        )),
        SignOutAtIssuer::Revoke if !has("revocation_endpoint") && config.dialect != Dialect::Dex => {
            Some(Check::warn(
                name,
                "it has no revocation endpoint: a refresh token stays valid there after a sign-out here",
                "control deletes its copy; set sign_out: none to acknowledge this",
            ))
        }
        _ => None,
    }
}

fn client_authentication(name: &str, config: &IssuerConfig, document: &Map<String, Value>) -> Option<Check> {
    let methods = document
        .get("token_endpoint_auth_methods_supported")?
        .as_array()?;
    let is_missing = config.client_auth == Some(ClientAuth::PrivateKeyJwt)
        && methods
            .iter()
            .all(|method| method.as_str() != Some("private_key_jwt"));
    is_missing.then(|| {
        Check::warn(
            format!("{name}: client authentication"),
            "its document does not list private_key_jwt",
            "use client_secret, if the check of the token endpoint fails too",
        )
    })
}
