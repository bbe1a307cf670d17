//! The filter's configuration, parsed strictly and compiled into what the data path needs.
//!
//! An unusable configuration never fails the load (Envoy would exit, or answer 503 without a reason, or go on with an old
//! one unnoticed, depending on how it was delivered): the filter then refuses every request and logs the fault.

mod annotation;
mod audiences;
mod authorization_server;
mod control;
mod each_try;
mod error;
mod fields;
mod gate_times;
mod matchers;
mod server_index;
mod servers;
mod unmatched;

use std::rc::Rc;

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::FreshnessPolicy;
use tokenward_protocol::json::{self, Json, quote};
pub use tokenward_protocol::route::{HostPattern, Route};

pub use annotation::AnnotationPath;
pub(crate) use audiences::RequiredAudiences;
pub use authorization_server::AuthorizationServer;
use authorization_server::authorization_server;
pub use control::Control;
use control::control;
pub use each_try::EachTry;
pub use error::BadConfig;
use fields::{Fields, LONGEST_SECONDS};
pub use gate_times::GateTimes;
use gate_times::gate_times;
use server_index::ServerIndex;
pub use servers::{AccessTokens, AuthKind, Server, TokenShape};
use servers::{check_apart, metadata_url, servers};
pub use unmatched::Unmatched;
use unmatched::unmatched;

use crate::request::MOST_SESSION_HEADERS;

/// Most replacement tokens of a worker; their bytes are bounded besides.
const MOST_REPLACEMENTS: usize = 65_536;
/// WARN lines of the whole Envoy in a minute, unless set.
pub const WARN_LIMIT: u32 = 1_000;

/// A compiled configuration.
#[derive(Debug)]
pub struct FilterConfig {
    /// How to reach control.
    pub control: Control,
    /// Control's own authorization server, if its access tokens are taken.
    pub authorization_server: Option<AuthorizationServer>,
    /// When a token is stale and when near expiry.
    pub freshness: FreshnessPolicy,
    /// Headers (lower case) that may carry the session handle, in order.
    pub session_headers: Vec<String>,
    /// Whether a token is replaced only in a request that carries a session handle.
    pub session_required: bool,
    /// Where the host stores the HTTPRoute annotation that names the server; `None` turns the look-up off.
    pub server_annotation: Option<AnnotationPath>,
    /// Whether the annotation is read before host and path; otherwise only where these lead to no server.
    pub annotation_first: bool,
    /// At most one WARN per pair in this many milliseconds.
    pub warn_every_ms: u64,
    /// At most this many WARN lines of the whole Envoy in a minute.
    pub warn_limit: u32,
    /// How long the gate stays closed.
    pub gate: GateTimes,
    /// Replacement tokens per worker.
    pub replacements: usize,
    /// The protected servers; [`Server::number`] is the position.
    pub servers: Vec<Rc<Server>>,
    /// Finds them by name, or by host and path.
    pub(crate) index: ServerIndex,
    /// What happens to a request that is for none of them.
    pub unmatched: Unmatched,
    /// Whether the request's host matters: some matcher names one.
    pub hosts_decide: bool,
    /// Every audience that one of them requires.
    pub(crate) required_audiences: RequiredAudiences,
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
        let authorization_server = authorization_server(&mut fields)?;
        let servers = servers(
            fields.required("servers")?,
            resource_metadata.as_ref(),
            authorization_server.as_ref(),
        )?;
        if let Some(own) = &authorization_server {
            check_apart(own, &servers)?;
        }
        let session_headers = session_headers(&mut fields)?;
        let unmatched = unmatched(&mut fields)?;
        let index = ServerIndex::new(&servers);
        let config = Self {
            control,
            authorization_server,
            freshness,
            session_required: session_required(&mut fields, &session_headers)?,
            session_headers,
            annotation_first: annotation.is_some() || needs_annotation(&servers),
            server_annotation: Some(annotation.unwrap_or_else(|| "tokenward-server".to_owned()))
                .filter(|key| !key.is_empty())
                .map(AnnotationPath::new),
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

/// Whether a route's annotation is the only way to one of the servers. Where each has a host or a path of its own, reading
/// the annotation first could only contradict them, and it is the most expensive step of a fresh request (ADR 8).
fn needs_annotation(servers: &[Rc<Server>]) -> bool {
    servers.iter().any(|server| server.route.is_none())
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
