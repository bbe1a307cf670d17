//! The configuration of the filter as an upstream HTTP filter: it checks each try that the router makes.

use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::json::{self, Json};

use super::error::BadConfig;
use super::fields::{Fields, LONGEST_SECONDS};

/// The router makes no try with a token that lives no longer than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EachTry {
    margin_ms: u64,
}

impl EachTry {
    /// Reads `{"check_each_try": {"margin": "5s"}}`; `None` when the text is another configuration.
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
        fields.end()?;
        Ok(Self {
            margin_ms: whole_ms(margin),
        })
    }

    /// Whether a token that expires at `exp_seconds` (Unix time) must not be sent any more at `now_ms`.
    #[must_use]
    pub fn is_late(&self, exp_seconds: u64, now_ms: u64) -> bool {
        exp_seconds.saturating_mul(1000).saturating_sub(now_ms) <= self.margin_ms
    }
}
