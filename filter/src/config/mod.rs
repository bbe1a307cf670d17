//! The filter's configuration, parsed strictly and compiled into what the data path needs.
//!
//! A configuration that cannot be used never fails the load (Envoy would exit, or answer 503 without a reason, or
//! keep an old one unnoticed, depending on how it was delivered): the filter then refuses every request and says so.

mod raw;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::FreshnessPolicy;

use raw::{RawAuth, RawConfig, RawCredential, RawServer};

/// Half a second: time for an answer that made the call's own deadline to be read and acted on.
const PAUSE_GRACE: Duration = Duration::from_millis(500);
/// More servers than this would make metrics unbounded.
const MOST_SERVERS: usize = 4096;

/// A compiled configuration.
#[derive(Debug)]
pub struct FilterConfig {
    /// How to reach control.
    pub control: Control,
    /// When a token is stale and when near expiry.
    pub freshness: FreshnessPolicy,
    /// Headers (lower case) that may carry the session handle, in order.
    pub session_headers: Vec<String>,
    /// Key of the HTTPRoute annotation that names the server; `None` when the look-up is turned off.
    pub server_annotation: Option<String>,
    /// At most one WARN per pair in this many milliseconds.
    pub warn_every_ms: u64,
    /// How long the gate stays closed.
    pub gate: GateTimes,
    /// Replacement tokens kept per worker.
    pub replacements: usize,
    /// The protected servers; their position is their number everywhere else.
    pub servers: Vec<Server>,
}

/// How to reach control.
#[derive(Debug)]
pub struct Control {
    /// Envoy cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// Value of `authorization`: HTTP Basic, both parts form-encoded first (RFC 6749 §2.3.1).
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
    /// How its token is made.
    pub kind: AuthKind,
    /// What the presented token must be.
    pub presented: TokenShape,
    /// What the token that reaches the server must be.
    pub delivered: TokenShape,
}

/// Host and path of a server's route.
#[derive(Debug)]
pub struct Route {
    /// Lower case; `None` matches any host.
    pub host: Option<HostPattern>,
    /// Without a trailing slash; the empty prefix matches any path.
    pub path_prefix: String,
}

/// A host of a route.
#[derive(Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// Any host that ends so (`.example.com`), with at least one more label before.
    Suffix(String),
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

/// Why a configuration cannot be used. The text names the field, the fault and the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// Not the JSON that is expected.
    #[error("field {field}: {fault}")]
    Json {
        /// Path of the field, `servers[0].auth.kind`; `.` is the whole.
        field: String,
        /// What is wrong, in the parser's words.
        fault: String,
    },
    /// A value that parses but cannot be right.
    #[error("field {field}: {fault}")]
    Value {
        /// Path of the field.
        field: String,
        /// What is wrong and how to mend it.
        fault: String,
    },
}

fn fault(field: impl Into<String>, fault: impl Into<String>) -> BadConfig {
    BadConfig::Value {
        field: field.into(),
        fault: fault.into(),
    }
}

impl FilterConfig {
    /// Parses and compiles the configuration. `environment` looks a variable up in Envoy's environment.
    ///
    /// # Errors
    /// [`BadConfig`], naming the first field at fault.
    pub fn parse(json: &[u8], environment: impl Fn(&str) -> Option<String>) -> Result<Self, BadConfig> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let raw: RawConfig =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| BadConfig::Json {
                field: error.path().to_string(),
                fault: error.inner().to_string(),
            })?;
        reader.end().map_err(|error| BadConfig::Json {
            field: ".".into(),
            fault: error.to_string(),
        })?;
        Self::compile(raw, environment)
    }

    fn compile(raw: RawConfig, environment: impl Fn(&str) -> Option<String>) -> Result<Self, BadConfig> {
        let freshness = FreshnessPolicy::new(raw.margin, raw.refresh_ahead)
            .map_err(|error| fault("refresh_ahead", error.to_string()))?;
        if raw.servers.is_empty() || raw.servers.len() > MOST_SERVERS {
            return Err(fault(
                "servers",
                format!("name between 1 and {MOST_SERVERS} servers"),
            ));
        }
        if raw.replacements == 0 {
            return Err(fault("replacements", "must be at least 1"));
        }
        let mut servers = Vec::with_capacity(raw.servers.len());
        for (index, server) in raw.servers.into_iter().enumerate() {
            let field = format!("servers[{index}]");
            let server = compile_server(&field, server, raw.resource_metadata.as_ref())?;
            if servers.iter().any(|other: &Server| other.name == server.name) {
                return Err(fault(
                    format!("{field}.name"),
                    format!("{:?} is used twice", server.name),
                ));
            }
            servers.push(server);
        }
        Ok(Self {
            control: compile_control(raw.control, environment)?,
            freshness,
            session_headers: session_headers(raw.session_headers)?,
            server_annotation: Some(raw.server_annotation).filter(|key| !key.is_empty()),
            warn_every_ms: at_least_one_ms("warn_every", raw.warn_every)?,
            gate: GateTimes {
                transient_first_ms: at_least_one_ms("gate.transient_first", raw.gate.transient_first)?,
                transient_longest_ms: at_least_one_ms("gate.transient_longest", raw.gate.transient_longest)?,
                login_first_ms: at_least_one_ms("gate.login_first", raw.gate.login_first)?,
                login_longest_ms: at_least_one_ms("gate.login_longest", raw.gate.login_longest)?,
                misconfigured_ms: at_least_one_ms("gate.misconfigured", raw.gate.misconfigured)?,
            },
            replacements: raw.replacements,
            servers,
        })
    }
}

fn at_least_one_ms(field: &str, span: Duration) -> Result<u64, BadConfig> {
    match whole_ms(span) {
        0 => Err(fault(field, "must be longer than 0")),
        ms => Ok(ms),
    }
}

fn compile_control(
    raw: raw::RawControl,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Control, BadConfig> {
    let credential = match raw.credential {
        RawCredential::Value(credential) => credential,
        RawCredential::Env(name) => environment(&name).map(SecretString::from).ok_or_else(|| {
            fault(
                "control.credential.env",
                format!("Envoy's environment has no variable {name:?}; pass it with vm_config.environment_variables.host_env_keys (Envoy Gateway: env.hostKeys)"),
            )
        })?,
    };
    if credential.expose_secret().is_empty() {
        return Err(fault("control.credential", "is empty"));
    }
    if raw.cluster.is_empty() {
        return Err(fault(
            "control.cluster",
            "is empty; name the Envoy cluster that leads to control",
        ));
    }
    let pause = raw.timeout.checked_add(PAUSE_GRACE).unwrap_or(raw.timeout);
    at_least_one_ms("control.timeout", raw.timeout)?;
    let user = form_encoded("filter");
    let password = form_encoded(credential.expose_secret());
    Ok(Control {
        authority: raw.authority.unwrap_or_else(|| raw.cluster.clone()),
        cluster: raw.cluster,
        authorization: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into(),
        timeout: raw.timeout,
        pause_ms: whole_ms(pause),
    })
}

fn form_encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn session_headers(names: Vec<String>) -> Result<Vec<String>, BadConfig> {
    for (index, name) in names.iter().enumerate() {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(token) || name.eq_ignore_ascii_case("authorization") {
            return Err(fault(
                format!("session_headers[{index}]"),
                format!("{name:?} is not the name of a session header"),
            ));
        }
    }
    Ok(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
}

fn compile_server(
    field: &str,
    raw: RawServer,
    resource_metadata: Option<&String>,
) -> Result<Server, BadConfig> {
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if raw.name.is_empty() || raw.name.len() > 253 || !raw.name.bytes().all(name_byte) {
        return Err(fault(
            format!("{field}.name"),
            format!("{:?} must be 1 to 253 letters, digits, '-', '_' or '.'", raw.name),
        ));
    }
    let resource_metadata = raw.resource_metadata.or_else(|| resource_metadata.cloned());
    if resource_metadata.as_ref().is_some_and(|url| {
        !url.bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
    }) {
        return Err(fault(
            format!("{field}.resource_metadata"),
            "must be a URL without blanks and quotes",
        ));
    }
    let shape = |part: &str, issuer: String, audiences: Vec<String>| {
        if issuer.is_empty() {
            Err(fault(
                format!("{field}.auth.{part}"),
                "is empty; write the issuer's URL exactly as in its tokens' iss",
            ))
        } else {
            Ok(TokenShape { issuer, audiences })
        }
    };
    let (kind, presented, delivered) = match raw.auth {
        RawAuth::Forward {
            issuer,
            required_audiences,
        } => {
            let delivered = shape("issuer", issuer, required_audiences)?;
            (AuthKind::Forward, delivered.clone(), delivered)
        }
        RawAuth::Exchange {
            issuer,
            required_audiences,
            subject_issuer,
            subject_audiences,
        } => (
            AuthKind::Exchange,
            shape("subject_issuer", subject_issuer, subject_audiences)?,
            shape("issuer", issuer, required_audiences)?,
        ),
    };
    Ok(Server {
        route: compile_route(field, raw.host, raw.path_prefix)?,
        name: raw.name,
        resource_metadata,
        kind,
        presented,
        delivered,
    })
}

fn compile_route(
    field: &str,
    host: Option<String>,
    path_prefix: Option<String>,
) -> Result<Option<Route>, BadConfig> {
    if host.is_none() && path_prefix.is_none() {
        return Ok(None);
    }
    let host = match host.map(|host| host.to_ascii_lowercase()) {
        None => None,
        Some(host) if host.is_empty() || host.contains(['/', ':', ' ']) => {
            return Err(fault(
                format!("{field}.host"),
                format!("{host:?} must be a host name without port, or \"*.example.com\""),
            ));
        }
        Some(host) => Some(match host.strip_prefix('*') {
            None => HostPattern::Exact(host),
            Some(suffix) if suffix.starts_with('.') && suffix.len() > 1 => {
                HostPattern::Suffix(suffix.to_owned())
            }
            Some(_) => {
                return Err(fault(
                    format!("{field}.host"),
                    "a wildcard stands for whole labels: \"*.example.com\"",
                ));
            }
        }),
    };
    let path_prefix = path_prefix.unwrap_or_default();
    if !path_prefix.is_empty() && !path_prefix.starts_with('/') {
        return Err(fault(
            format!("{field}.path_prefix"),
            format!("{path_prefix:?} must start with \"/\""),
        ));
    }
    Ok(Some(Route {
        host,
        path_prefix: path_prefix.trim_end_matches('/').to_owned(),
    }))
}
