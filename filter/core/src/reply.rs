//! The filter's own HTTP responses: status, headers and body of a refusal.

use tokenward_protocol::json::quote;
use tokenward_protocol::refusal::{Refusal, RefusalClass};

use crate::config::Server;

/// A response made by the filter itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers besides `:status`.
    pub headers: Vec<(&'static str, String)>,
    /// JSON: `error, error_description, refusal, server`.
    pub body: String,
    /// For Envoy's access log (`RESPONSE_CODE_DETAILS`): `tokenward_<refusal>`.
    pub details: String,
}

impl Reply {
    /// Adds the length of the token to the body.
    pub fn name_token_bytes(&mut self, bytes: usize) {
        if self.body.ends_with('}') {
            self.body.pop();
            self.body.push_str(",\"token_bytes\":");
            self.body.push_str(&bytes.to_string());
            self.body.push('}');
        }
    }
}

/// The response to a refused request. `server` is `None` where no server matched or the filter is misconfigured.
#[must_use]
pub fn refusal_reply(refusal: Refusal, server: Option<&Server>, retry_after_ms: u64) -> Reply {
    let header = match refusal.class() {
        RefusalClass::LoginNeeded => ("www-authenticate", challenge(refusal, server)),
        RefusalClass::Transient | RefusalClass::Misconfigured => {
            ("retry-after", retry_after_seconds(retry_after_ms))
        }
    };
    reply(refusal.client_status(), refusal, server, header)
}

/// The response to a listener that was refused too often: 405 is the only status at which listeners of the Go MCP library
/// stop retrying every second. It turns the server's push messages off until the client reconnects, so it is opt-in.
#[must_use]
pub fn listener_reply(refusal: Refusal, server: &Server) -> Reply {
    reply(405, refusal, Some(server), ("allow", "POST, DELETE".to_owned()))
}

/// `Retry-After` in whole seconds, at least 1 (RFC 9110 §10.2.3).
#[must_use]
pub fn retry_after_seconds(retry_after_ms: u64) -> String {
    retry_after_ms.div_ceil(1000).max(1).to_string()
}

fn reply(status: u16, refusal: Refusal, server: Option<&Server>, header: (&'static str, String)) -> Reply {
    let server_name = server.map_or_else(|| "null".to_owned(), |server| quote(&server.name));
    let body = format!(
        "{{\"error\":{},\"error_description\":{},\"refusal\":{},\"server\":{server_name}}}",
        quote(refusal.client_error()),
        quote(refusal.description()),
        quote(refusal.name()),
    );
    let own = [
        ("content-type", "application/json".to_owned()),
        ("cache-control", "no-store".to_owned()),
        header,
    ];
    Reply {
        status,
        headers: own.to_vec(),
        body,
        details: format!("tokenward_{}", refusal.name()),
    }
}

/// RFC 6750 §3: a request without any token gets a challenge without an error code. RFC 9728 §5.1: where to log in.
/// MCP: which scope to request there.
fn challenge(refusal: Refusal, server: Option<&Server>) -> String {
    let mut parts = Vec::with_capacity(4);
    if refusal != Refusal::MissingBearer {
        parts.push(format!("error=\"{}\"", refusal.client_error()));
        parts.push(format!("error_description=\"{}\"", refusal.description()));
    }
    if let Some(url) = server.and_then(|server| server.resource_metadata.as_deref()) {
        parts.push(format!("resource_metadata=\"{url}\""));
    }
    if let Some(own) = server.and_then(|server| server.access_tokens.as_ref()) {
        parts.push(format!("scope=\"{}\"", own.scope));
    }
    if parts.is_empty() {
        "Bearer".to_owned()
    } else {
        format!("Bearer {}", parts.join(", "))
    }
}
