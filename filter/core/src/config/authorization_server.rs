//! The authorization server whose access tokens the servers take besides what they take anyway: control's own.

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::json::Json;

use super::error::BadConfig;
use super::fields::Fields;

/// Control's own authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationServer {
    /// `iss` of its access tokens, compared exactly.
    pub issuer: String,
    /// `scope` of challenges, one scope: what a client requests (RFC 6750 §3).
    pub scope: String,
}

impl AuthorizationServer {
    /// Whether it issued a token with this `iss`.
    #[must_use]
    pub fn is_issuer(&self, issuer: &str) -> bool {
        same_bytes(self.issuer.as_bytes(), issuer.as_bytes())
    }
}

/// Reads `authorization_server`.
pub(super) fn authorization_server(
    fields: &mut Fields<'_>,
) -> Result<Option<AuthorizationServer>, BadConfig> {
    let Some(json) = fields.take("authorization_server") else {
        return Ok(None);
    };
    read(json, &fields.at("authorization_server")).map(Some)
}

fn read(json: Json<'_>, path: &str) -> Result<AuthorizationServer, BadConfig> {
    let mut fields = Fields::of(json, path)?;
    let issuer = fields.text("issuer")?;
    // One scope token (RFC 6749 §3.3).
    let scope = fields.quotable_text("scope")?.unwrap_or_else(|| "mcp".to_owned());
    fields.end()?;
    Ok(AuthorizationServer { issuer, scope })
}
