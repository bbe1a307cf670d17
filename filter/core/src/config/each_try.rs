//! The configuration of the filter as an upstream HTTP filter: it checks each try that the router makes.

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::in_ms;
use tokenward_protocol::json::{self, Json};

use super::authorization_server::{AuthorizationServer, authorization_server};
use super::error::BadConfig;
use super::fields::{Fields, LONGEST_SECONDS};

/// The router makes no try with a token that lives no longer than this, and none with an access token of control's own
/// authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EachTry {
    margin_ms: u64,
    authorization_server: Option<AuthorizationServer>,
}

impl EachTry {
    /// Reads `{"check_each_try": {"margin": "5s", "authorization_server": {"issuer": "…"}}}`; `None` when the text is another configuration.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Result<Self, BadConfig>> {
        let json = json::parse(text).ok()?;
        let mut fields = Fields::of(json, "").ok()?;
        let settings = fields.take("check_each_try")?;
        Some(Self::read(fields, settings))
    }

    fn read(fields: Fields<'_>, settings: Json<'_>) -> Result<Self, BadConfig> {
        fields.end()?;
        let mut fields = Fields::of(settings, "check_each_try")?;
        let margin = fields.span("margin", "5s", LONGEST_SECONDS)?;
        let authorization_server = authorization_server(&mut fields)?;
        fields.end()?;
        Ok(Self {
            margin_ms: whole_ms(margin),
            authorization_server,
        })
    }

    /// Whether a token with this `iss` must never leave the gateway.
    #[must_use]
    pub fn is_own(&self, issuer: &str) -> bool {
        let own = self.authorization_server.as_ref();
        own.is_some_and(|own| own.is_issuer(issuer))
    }

    /// Whether a token that expires at `exp_seconds` (Unix time) must not be sent any more at `now_ms`.
    #[must_use]
    pub fn is_late(&self, exp_seconds: u64, now_ms: u64) -> bool {
        in_ms(exp_seconds).saturating_sub(now_ms) <= self.margin_ms
    }
}
