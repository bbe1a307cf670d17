//! Whose tokens an MCP server takes.

use crate::issuer::jose::{Jws, RemoteKeys};
use crate::issuer::{Issuer, IssuerClock, fingerprint, opaque};

use super::SeenToken;

/// Whose tokens an MCP server takes, and for which audience.
#[derive(Debug, Clone)]
pub struct McpTrust {
    /// Where the issuer's keys are.
    pub jwks_uri: String,
    /// The `iss` of good tokens.
    pub issuer: String,
    /// An `aud` of good tokens.
    pub audience: String,
    /// The server's time; no leeway is given.
    pub clock: IssuerClock,
}

impl McpTrust {
    /// Trust in an issuer; the server has the issuer's clock.
    pub fn of(issuer: &impl Issuer, audience: &str) -> Self {
        Self {
            jwks_uri: issuer.jwks_uri(),
            issuer: issuer.issuer().to_owned(),
            audience: audience.to_owned(),
            clock: issuer.clock().clone(),
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// At or past `exp` (RFC 7519 §4.1.4), whatever else is wrong.
    Expired,
    /// Absent, unreadable, of another issuer or audience, or not signed by the issuer.
    Bad,
}

/// Trust with the issuer's keys at hand.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: McpTrust,
    keys: RemoteKeys,
}

impl Verifier {
    pub(crate) fn new(trust: McpTrust) -> Self {
        Self {
            keys: RemoteKeys::new(&trust.jwks_uri),
            trust,
        }
    }

    pub(crate) async fn verify(&self, token: &str) -> (Verdict, SeenToken) {
        let unwrapped = opaque::unwrapped(token);
        let jws = Jws::read(unwrapped.as_deref().unwrap_or(token));
        let claim = |name: &str| jws.as_ref().and_then(|jws| jws.claims.get(name));
        let seen = SeenToken {
            subject: claim("sub").and_then(|value| value.as_str()).map(str::to_owned),
            exp_seconds: claim("exp").and_then(|value| value.as_i64()),
            issued_at_seconds: claim("iat").and_then(|value| value.as_i64()),
            fingerprint: fingerprint(token),
            is_opaque: unwrapped.is_some(),
            is_own: jws.as_ref().is_some_and(is_access_token),
        };
        let verdict = match &jws {
            Some(jws) => self.judge(jws).await,
            None => Verdict::Bad,
        };
        (verdict, seen)
    }

    async fn judge(&self, jws: &Jws) -> Verdict {
        let Some(exp_seconds) = jws.exp_seconds() else {
            return Verdict::Bad;
        };
        if self.trust.clock.now_ms() >= exp_seconds.saturating_mul(1000) {
            return Verdict::Expired;
        }
        let for_us = jws.audiences().contains(&self.trust.audience);
        let from_issuer = jws.text("iss") == Some(&self.trust.issuer);
        if for_us && from_issuer && self.keys.verify(jws).await {
            Verdict::Good
        } else {
            Verdict::Bad
        }
    }
}

/// RFC 9068 §2.1: `at+jwt` or `application/at+jwt`, whatever its case. No issuer of the tests gives such a token to a
/// server.
fn is_access_token(jws: &Jws) -> bool {
    let typ = jws.header.get("typ").and_then(serde_json::Value::as_str);
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == "at+jwt"
}
