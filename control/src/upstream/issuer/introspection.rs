//! Introspection (RFC 7662): whether a refresh token is still unused, without using it up.

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::answer::members::Members;
use super::answer::{RawAnswer, Transient, refusal_of};
use super::client::Connection;
use super::discovery::DiscoveryFailed;
use super::home::{HomeIssuer, NotPermitted};
use super::limits::CallOutcome;
use super::pace::Urgency;
use crate::context::Context;
use crate::upstream::dialect::Dialect;

/// What an issuer reports about a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Introspected {
    /// Active: it has not been used.
    Unused,
    /// Not active: used, expired or revoked.
    UsedUp,
    /// The issuer has no introspection endpoint, or does not answer this client.
    Withheld,
}

impl HomeIssuer {
    /// Introspects `refresh_token` of the grant with this digest.
    ///
    /// # Errors
    /// [`NotPermitted`], also when the issuer failed: another attempt may succeed.
    pub async fn introspect(
        &self,
        context: &Context,
        grant: &str,
        refresh_token: &SecretString,
    ) -> Result<Introspected, NotPermitted> {
        let permit = self
            .limits
            .acquire(grant, Urgency::Waiting)
            .await
            .map_err(NotPermitted::Throttled)?;
        let endpoint = match self.discovery.introspection_endpoint(context).await {
            Ok(Some(endpoint)) => endpoint,
            Ok(None) | Err(DiscoveryFailed::Unusable(_)) => {
                permit.record(CallOutcome::Answer);
                return Ok(Introspected::Withheld);
            }
            Err(failed) => return Err(self.endpoint_unavailable(permit, &failed)),
        };
        let form = [
            ("token", refresh_token.expose_secret()),
            ("token_type_hint", "refresh_token"),
        ];
        let started = Instant::now();
        let answer = context
            .client
            .post_form(&endpoint, self.credentials(context), &form, Connection::Pooled)
            .await;
        let metrics = &context.metrics;
        metrics.issuer_request(&self.config.issuer, "introspect", started.elapsed());
        let introspected = match answer {
            Ok(answer) => read_introspection(&answer, self.config.dialect),
            Err(failed) => Err(failed.into()),
        };
        let class = match &introspected {
            Ok(Introspected::Unused) => "unused",
            Ok(Introspected::UsedUp) => "used_up",
            Ok(Introspected::Withheld) => "not_told",
            Err(passing) => passing.class(),
        };
        metrics.issuer_answer(&self.config.issuer, "introspect", class);
        permit.record(match &introspected {
            Ok(_) => CallOutcome::Answer,
            Err(passing) => passing.into(),
        });
        introspected.map_err(NotPermitted::Transient)
    }
}

/// Reads the response of an introspection endpoint (RFC 7662 §2.2) by the rules of [`super::answer`]: only `active` in a
/// 2xx is an answer, only an OAuth error code means that this client gets none, and everything else is transient.
///
/// # Errors
/// [`Transient`] for overload, gateways, the issuer's own failures, and responses without OAuth.
pub fn read_introspection(answer: &RawAnswer, dialect: Dialect) -> Result<Introspected, Transient> {
    let active = Members::read(&answer.body, &["active"]).flag("active");
    match active.filter(|_| answer.is_success()) {
        Some(true) => Ok(Introspected::Unused),
        Some(false) => Ok(Introspected::UsedUp),
        None => match refusal_of(answer, dialect) {
            Ok(()) => Ok(Introspected::Withheld),
            Err(passing) => Err(Transient {
                cause: format!("introspection: {}", passing.cause),
                ..passing
            }),
        },
    }
}
