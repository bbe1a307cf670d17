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
mod numbers;
mod server_index;
mod servers;
mod state;
mod table;
mod unmatched;

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
pub(crate) use numbers::ServerNumbers;
pub use servers::{AccessTokens, AuthKind, Server, TokenShape};
use servers::{MOST_SERVERS, metadata_url, numbered, servers};
pub use state::StateSettings;
use state::state;
pub use table::ServerTable;
use table::TableSettings;
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
    /// How the filter stays in step with control; `None`: the servers are those of this configuration only, and sign-outs are
    /// not known.
    pub state: Option<StateSettings>,
    /// When a token is stale and when near expiry.
    pub freshness: FreshnessPolicy,
    /// Headers (lower case) that may carry the session handle, in order.
    pub session_headers: Vec<String>,
    /// Whether a token is replaced only in a request that carries a session handle.
    pub session_required: bool,
    /// Where the host stores the HTTPRoute annotation that names the server; `None` turns the look-up off.
    pub server_annotation: Option<AnnotationPath>,
    /// At most one WARN per pair in this many milliseconds.
    pub warn_every_ms: u64,
    /// At most this many WARN lines of the whole Envoy in a minute.
    pub warn_limit: u32,
    /// How long the gate stays closed.
    pub gate: GateTimes,
    /// Replacement tokens per worker.
    pub replacements: usize,
    /// What happens to a request that is for none of the servers.
    pub unmatched: Unmatched,
    /// The protected servers: the only part that changes while the filter lives.
    pub table: ServerTable,
    /// The servers of this configuration itself; [`Server::number`] is the position.
    fixed: ServerTable,
    table_settings: TableSettings,
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
        let own = authorization_server(&mut fields)?;
        let state = state(&mut fields)?;
        let listed = match fields.take("servers") {
            None if state.is_some() => Json::List(Vec::new()),
            None => return Err(fields.fault("servers", "is missing")),
            Some(json) => json,
        };
        let least = usize::from(state.is_none());
        let listed = servers(
            listed,
            resource_metadata.as_ref(),
            own.as_ref(),
            least..=MOST_SERVERS,
        )?;
        let session_headers = session_headers(&mut fields)?;
        let unmatched = unmatched(&mut fields)?;
        let table_settings = TableSettings {
            resource_metadata,
            is_annotated: annotation.is_some(),
            looks_at_hosts: unmatched.looks_at_hosts(),
        };
        let table = ServerTable::new(numbered(listed), own, &table_settings)?;
        let config = Self {
            control,
            state,
            freshness,
            session_required: session_required(&mut fields, &session_headers)?,
            session_headers,
            server_annotation: Some(annotation.unwrap_or_else(|| "tokenward-server".to_owned()))
                .filter(|key| !key.is_empty())
                .map(AnnotationPath::new),
            warn_every_ms: whole_ms(fields.span("warn_every", "60s", LONGEST_SECONDS)?),
            warn_limit: fields.optional_count("warn_limit")?.unwrap_or(WARN_LIMIT),
            gate: gate_times(fields.take("gate").unwrap_or(Json::Object(Vec::new())))?,
            replacements: fields.count("replacements", 4096, MOST_REPLACEMENTS)?,
            unmatched,
            fixed: table.clone(),
            table,
            table_settings,
        };
        fields.end()?;
        Ok(config)
    }

    /// The numbers of this configuration's servers.
    #[must_use]
    pub(crate) fn numbers(&self) -> ServerNumbers {
        ServerNumbers::new(&self.fixed.servers)
    }

    /// The table with the servers that control has published (JSON) in place of those published before.
    ///
    /// # Errors
    /// [`BadConfig`], naming the first field at fault: nothing of such a list may be used.
    pub(crate) fn table_with(
        &self,
        published: &[u8],
        numbers: &mut ServerNumbers,
    ) -> Result<ServerTable, BadConfig> {
        let (fixed, settings) = (&self.fixed, &self.table_settings);
        self.table.with_published(fixed, published, numbers, settings)
    }
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
