//! Asking an issuer whether a refresh token is still unused, without using it up (RFC 7662).

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::Instant;

use super::answer::{RawAnswer, Transient};
use super::client::ClientCredentials;
use super::discovery::DiscoveryFailed;
use super::traffic::Heard;
use super::{Context, HomeIssuer, NoLeave, unreachable};

/// What an issuer says of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Introspected {
    /// It works.
    Unused,
    /// It does not: used up, expired or revoked.
    UsedUp,
    /// The issuer does not tell this client.
    NotTold,
}

impl HomeIssuer {
    /// Asks about `refresh_token` of the grant with this digest.
    ///
    /// # Errors
    /// [`NoLeave`], also when the issuer failed: asking again may help.
    pub async fn introspect(
        &self,
        context: &Context,
        grant: &str,
        refresh_token: &SecretString,
    ) -> Result<Introspected, NoLeave> {
        let pass = self.traffic.pass(grant).await.map_err(NoLeave::HeldBack)?;
        let endpoint = match self.discovery.introspection_endpoint(context).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) | Err(DiscoveryFailed::Unusable(_)) => {
                pass.heard(Heard::Answer);
                return Ok(Introspected::NotTold);
            }
            Err(failed) => return Err(self.not_found(pass, &failed)),
        };
        let credentials = ClientCredentials {
            id: &self.config.client_id,
            secret: &self.config.client_secret,
        };
        let form = [
            ("token", refresh_token.expose_secret()),
            ("token_type_hint", "refresh_token"),
        ];
        let started = Instant::now();
        let answer = context.client.post_form(&endpoint, credentials, &form).await;
        let metrics = &context.metrics;
        metrics.issuer_request(&self.config.issuer, "introspect", started.elapsed());
        let told = match answer {
            Ok(answer) => read_introspection(&answer),
            Err(failed) => Err(failed.into()),
        };
        pass.heard(match &told {
            Ok(_) => Heard::Answer,
            Err(passing) => Heard::Failure {
                asked: passing.retry_after,
            },
        });
        told.map_err(NoLeave::Transient)
    }
}

#[derive(Deserialize)]
struct Body {
    active: bool,
}

/// Reads the answer of an introspection endpoint.
///
/// # Errors
/// [`Transient`] for overload, gateways and the issuer's own failures.
pub fn read_introspection(answer: &RawAnswer) -> Result<Introspected, Transient> {
    let failed = || Transient {
        retry_after: answer.retry_after,
        ..unreachable(format!(
            "introspection was answered with status {}",
            answer.status
        ))
    };
    match answer.status {
        200 => Ok(match serde_json::from_slice::<Body>(&answer.body) {
            Ok(Body { active: true }) => Introspected::Unused,
            Ok(Body { active: false }) => Introspected::UsedUp,
            Err(_) => return Err(failed()),
        }),
        408 | 425 | 429 | 500..=599 => Err(failed()),
        _ => Ok(Introspected::NotTold),
    }
}
