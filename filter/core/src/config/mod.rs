//! The filter's configuration, parsed strictly and compiled into what the data path needs.
//!
//! A configuration that cannot be used never fails the load (Envoy would exit, or answer 503 without a reason, or
//! keep an old one unnoticed, depending on how it was delivered): the filter then refuses every request and says so.

mod audiences;
mod each_try;
mod fields;
mod matchers;
mod servers;
mod unmatched;

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::FreshnessPolicy;
use tokenward_protocol::json::{self, Json, quote};

pub use audiences::RequiredAudiences;
pub use each_try::EachTry;
use fields::Fields;
pub use matchers::{HostPattern, Route};
use servers::servers;
pub use unmatched::Unmatched;
use unmatched::unmatched;

use crate::request::MOST_SESSION_HEADERS;
use crate::server_index::ServerIndex;

/// Half a second: time for an answer that made the call's own deadline to be read and acted on.
const PAUSE_GRACE_MS: u64 = 500;

/// Longest span of any setting but the next one: a day.
const LONGEST_SECONDS: u64 = 86_400;
/// Longest deadline of a call, seconds: a request is held for so long.
const LONGEST_CALL_SECONDS: u64 = 60;
/// Most replacement tokens of a worker; their bytes are bounded besides.
const MOST_REPLACEMENTS: usize = 65_536;
/// WARN lines of the whole Envoy in a minute, unless set.
pub const WARN_LIMIT: u32 = 1_000;

/// A compiled configuration.
#[derive(Debug)]
pub struct FilterConfig {
    /// How to reach control.
    pub control: Control,
    /// When a token is stale and when near expiry.
    pub freshness: FreshnessPolicy,
    /// Headers (lower case) that may carry the session handle, in order.
    pub session_headers: Vec<String>,
    /// Whether a token is replaced only in a request that carries a session handle.
    pub session_required: bool,
    /// Where the host keeps the HTTPRoute annotation that names the server; `None` when the look-up is turned off.
    pub server_annotation: Option<AnnotationPath>,
    /// Whether the annotation is looked at before host and path; otherwise only where these lead to no server.
    pub annotation_first: bool,
    /// At most one WARN per pair in this many milliseconds.
    pub warn_every_ms: u64,
    /// At most so many WARN lines of the whole Envoy in a minute.
    pub warn_limit: u32,
    /// How long the gate stays closed.
    pub gate: GateTimes,
    /// Replacement tokens kept per worker.
    pub replacements: usize,
    /// The protected servers; their position is their number everywhere else.
    pub servers: Vec<Server>,
    /// Where they are found.
    pub index: ServerIndex,
    /// What becomes of a request that is for none of them.
    pub unmatched: Unmatched,
    /// Whether the request's host is looked at: where no matcher has one, any is as good.
    pub hosts_decide: bool,
    /// Every audience that one of them requires of the presented token.
    pub required_audiences: RequiredAudiences,
}

/// Path of the property in which Envoy Gateway keeps an annotation of the request's HTTPRoute, as the host takes it:
/// parts joined by NUL. The route is the first resource of its metadata (Envoy Gateway,
/// `internal/xds/translator/metadata.go`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationPath(String);

impl AnnotationPath {
    /// The path of the annotation `key` (without the prefix `gateway.envoyproxy.io/`, which Envoy Gateway strips).
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(format!(
            "xds\0route_metadata\0filter_metadata\0envoy-gateway\0resources\x000\0annotations\0{key}"
        ))
    }

    /// The joined parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How to reach control.
#[derive(Debug)]
pub struct Control {
    /// Envoy cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// Value of `authorization`: the credential as a bearer (RFC 6750 §2.1).
    pub authorization: SecretString,
    /// Deadline of one call.
    pub timeout: Duration,
    /// Deadline of one pause, in milliseconds: the call's and half a second.
    pub pause_ms: u64,
}

/// How long the gate stays closed, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct GateTimes {
    /// First closing after a transient failure.
    pub transient_first_ms: u64,
    /// Longest closing after transient failures.
    pub transient_longest_ms: u64,
    /// First closing when a login is needed.
    pub login_first_ms: u64,
    /// Longest closing when a login is needed.
    pub login_longest_ms: u64,
    /// Closing when an operator must mend something.
    pub misconfigured_ms: u64,
}

/// A protected server.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its route, for finding it without an annotation.
    pub route: Option<Route>,
    /// `resource_metadata` of its 401 challenges.
    pub resource_metadata: Option<String>,
    /// After this many refusals in a row a listener (`GET`) is answered 405, if at all.
    pub listener_405_after: Option<u32>,
    /// How its token is made.
    pub kind: AuthKind,
    /// What the presented token must be.
    pub presented: TokenShape,
    /// What the token that reaches the server must be.
    pub delivered: TokenShape,
}

/// How a server's token is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// The user's own ID token is forwarded.
    Forward,
    /// The user's ID token is exchanged at the server's issuer.
    Exchange,
}

/// Issuer and audiences that a token must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenShape {
    /// Required `iss`, compared exactly (OpenID Connect Discovery §4.3).
    pub issuer: String,
    /// All of these must be in `aud`.
    pub audiences: Vec<String>,
}

/// Why a configuration cannot be used: the field, the fault and the cure. The text holds no value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {fault}")]
pub struct BadConfig {
    field: String,
    fault: String,
}

impl BadConfig {
    /// A fault of the field at `field` (`servers[0].auth.kind`); empty for the configuration as a whole.
    pub fn new(field: &str, fault: impl Into<String>) -> Self {
        let field = if field.is_empty() {
            "(the whole configuration)"
        } else {
            field
        };
        Self {
            field: field.to_owned(),
            fault: fault.into(),
        }
    }
}

impl FilterConfig {
    /// Parses and compiles the configuration. `environment` looks a variable up in Envoy's environment.
    ///
    /// # Errors
    /// [`BadConfig`], naming the first field at fault.
    pub fn parse(text: &[u8], environment: impl Fn(&str) -> Option<String>) -> Result<Self, BadConfig> {
        let json = json::parse(text).map_err(|error| BadConfig::new("", error.to_string()))?;
        let mut fields = Fields::of(json, "")?;
        let freshness = FreshnessPolicy::new(
            fields.span("margin", "60s", LONGEST_SECONDS)?,
            fields.span("refresh_ahead", "120s", LONGEST_SECONDS)?,
        )
        .map_err(|error| fields.fault("refresh_ahead", error.to_string()))?;
        let resource_metadata = metadata_url(&mut fields)?;
        let annotation = fields.optional_text("server_annotation")?;
        let control = control(fields.required("control")?, environment)?;
        let servers = servers(fields.required("servers")?, resource_metadata.as_ref())?;
        let session_headers = session_headers(&mut fields)?;
        let unmatched = unmatched(&mut fields)?;
        let index = ServerIndex::new(&servers);
        let config = Self {
            control,
            freshness,
            session_required: session_required(&mut fields, &session_headers)?,
            session_headers,
            annotation_first: annotation.is_some() || needs_annotation(&servers),
            server_annotation: Some(annotation.unwrap_or_else(|| "tokenward-server".to_owned()))
                .filter(|key| !key.is_empty())
                .map(|key| AnnotationPath::new(&key)),
            warn_every_ms: whole_ms(fields.span("warn_every", "60s", LONGEST_SECONDS)?),
            warn_limit: fields.optional_count("warn_limit")?.unwrap_or(WARN_LIMIT),
            gate: gate_times(fields.take("gate").unwrap_or(Json::Object(Vec::new())))?,
            replacements: fields.count("replacements", 4096, MOST_REPLACEMENTS)?,
            hosts_decide: index.has_hosts() || unmatched.looks_at_hosts(),
            index,
            unmatched,
            required_audiences: RequiredAudiences::of(&servers),
            servers,
        };
        fields.end()?;
        Ok(config)
    }
}

/// Whether a route's annotation is the only way to one of the servers. Where each has a host or a path of its own,
/// reading the annotation first could only contradict them, and it is the dearest thing that a fresh request does
/// (ADR 8).
fn needs_annotation(servers: &[Server]) -> bool {
    servers.iter().any(|server| server.route.is_none())
}

fn control(json: Json<'_>, environment: impl Fn(&str) -> Option<String>) -> Result<Control, BadConfig> {
    let mut fields = Fields::of(json, "control")?;
    let cluster = fields.text("cluster")?;
    let authority = fields
        .optional_text("authority")?
        .unwrap_or_else(|| cluster.clone());
    if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fields.fault("authority", "must be visible ASCII without blanks"));
    }
    let timeout = fields.span("timeout", "5s", LONGEST_CALL_SECONDS)?;
    let credential = credential(fields.required("credential")?, environment)?;
    fields.end()?;
    Ok(Control {
        cluster,
        authority,
        authorization: format!("Bearer {}", credential.expose_secret()).into(),
        timeout,
        pause_ms: whole_ms(timeout).saturating_add(PAUSE_GRACE_MS),
    })
}

fn credential(
    json: Json<'_>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, BadConfig> {
    let mut fields = Fields::of(json, "control.credential")?;
    let (value, variable) = (fields.optional_text("value")?, fields.optional_text("env")?);
    let credential = match (value, variable) {
        (Some(value), None) => value,
        (None, Some(name)) => environment(&name).ok_or_else(|| {
            let cure =
                "pass it with vm_config.environment_variables.host_env_keys (Envoy Gateway: env.hostKeys)";
            // Not which name: it may be the secret itself, written into the wrong field.
            fields.fault(
                "env",
                format!("Envoy's environment has no variable of this name; {cure}"),
            )
        })?,
        _ => {
            return Err(BadConfig::new(
                "control.credential",
                "must have exactly one of value and env",
            ));
        }
    };
    fields.end()?;
    // A secret that was written with an editor ends in a line break.
    let credential = credential.trim();
    if credential.is_empty() || !credential.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadConfig::new(
            "control.credential",
            "must be visible ASCII without blanks, and not empty",
        ));
    }
    Ok(credential.into())
}

fn session_headers(fields: &mut Fields<'_>) -> Result<Vec<String>, BadConfig> {
    let names = fields.texts("session_headers")?;
    if names.len() > MOST_SESSION_HEADERS {
        return Err(fields.fault(
            "session_headers",
            format!("name {MOST_SESSION_HEADERS} headers at the most"),
        ));
    }
    for name in &names {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(token) || name.eq_ignore_ascii_case("authorization") {
            return Err(fields.fault(
                "session_headers",
                format!("{} is not the name of a session header", quote(name)),
            ));
        }
    }
    Ok(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
}

fn session_required(fields: &mut Fields<'_>, headers: &[String]) -> Result<bool, BadConfig> {
    let required = fields.is_set("session_required")?;
    if required && headers.is_empty() {
        return Err(fields.fault("session_required", "needs session_headers to look at"));
    }
    Ok(required)
}

fn gate_times(json: Json<'_>) -> Result<GateTimes, BadConfig> {
    let mut fields = Fields::of(json, "gate")?;
    let times = GateTimes {
        transient_first_ms: whole_ms(fields.span("transient_first", "1s", LONGEST_SECONDS)?),
        transient_longest_ms: whole_ms(fields.span("transient_longest", "60s", LONGEST_SECONDS)?),
        login_first_ms: whole_ms(fields.span("login_first", "5s", LONGEST_SECONDS)?),
        login_longest_ms: whole_ms(fields.span("login_longest", "30s", LONGEST_SECONDS)?),
        misconfigured_ms: whole_ms(fields.span("misconfigured", "5m", LONGEST_SECONDS)?),
    };
    fields.end()?;
    Ok(times)
}

fn metadata_url(fields: &mut Fields<'_>) -> Result<Option<String>, BadConfig> {
    let url = fields.optional_text("resource_metadata")?;
    let quotable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if url
        .as_ref()
        .is_some_and(|url| url.is_empty() || !url.bytes().all(quotable))
    {
        return Err(fields.fault("resource_metadata", "must be a URL without blanks and quotes"));
    }
    Ok(url)
}
