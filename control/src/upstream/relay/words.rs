//! What a client reads whose login has ended: the issuer's own words if they are known, else those that the issuer would
//! have used.

use crate::config::{IssuerConfig, IssuerPolicy};
use crate::upstream::dialect::Dialect;
use crate::upstream::grant::relayed::IssuerWords;

/// The error response to a refresh token that will not work again (RFC 6749 §5.2, or the dialect's own).
pub(super) fn of_dead_token(config: &IssuerConfig) -> IssuerWords {
    // An issuer that shows no kind counts as Dex, but Dex is tolerant: a client of a strict one expects the specification's
    // words.
    let dialect = match (config.policy, config.dialect) {
        (IssuerPolicy::Strict, Dialect::Dex) => Dialect::Standard,
        (_, dialect) => dialect,
    };
    let (code, description) = dialect.dead_refresh_token();
    IssuerWords {
        status: 400,
        body: serde_json::json!({"error": code, "error_description": description})
            .to_string()
            .into_bytes(),
    }
}
