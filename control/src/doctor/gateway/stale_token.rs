//! A token that was made up: it has expired, and no issuer has signed it. It opens nothing; which component refuses it,
//! and how, shows how far a stale token gets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::config::{Config, IssuerConfig, ServerConfig};

/// In the token's `kid` and `sub`, where logs show them.
const NAME: &str = "tokenward-doctor";
/// Its `exp`, Unix seconds: in 2001, longer ago than a token may be to prove anything, so that control refuses it without its
/// issuer's keys.
const EXP_SECONDS: u64 = 1_000_000_000;
/// Its life.
const LIFE_SECONDS: u64 = 3600;
/// As long as a signature of RS256.
const SIGNATURE: [u8; 256] = [0x55; 256];

/// A stale token of `issuer` with every audience that the filter may require, other than any made before: `nonce` is in it,
/// because the filter remembers refused tokens.
pub(super) fn stale_token(
    config: &Config,
    issuer: &IssuerConfig,
    server: Option<&ServerConfig>,
    nonce: &str,
) -> String {
    let clients = config
        .issuers
        .iter()
        .filter(|other| other.issuer == issuer.issuer)
        .map(|other| other.client_id.as_str());
    let required = server.into_iter().flat_map(|server| &server.required_audiences);
    let mut audiences: Vec<&str> = clients.chain(required.map(String::as_str)).collect();
    audiences.sort_unstable();
    audiences.dedup();
    let claims = json!({
        "iss": issuer.issuer, "aud": audiences, "sub": NAME, "jti": nonce,
        "iat": EXP_SECONDS - LIFE_SECONDS, "exp": EXP_SECONDS,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": NAME});
    format!(
        "{}.{}.{}",
        part(&header),
        part(&claims),
        URL_SAFE_NO_PAD.encode(SIGNATURE)
    )
}
