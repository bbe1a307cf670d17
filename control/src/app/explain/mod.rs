//! Explains why a session gets a token for a server, or does not: the inputs of the decision, and the decision at this
//! moment. Reads the store only: nothing is changed and no issuer is called. The explanation contains no token.

mod summary;
mod view;

use secrecy::SecretString;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

pub(crate) use view::Explanation;

use super::{Server, Service};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::record::{self as exchanges, ExchangeKey, ExchangeRecord};
use crate::upstream::grant::decide::{Decision, Want, decide};
use crate::upstream::grant::record::GrantRecord;
use crate::upstream::issuer::limits::Throttled;

/// What control would do for a caller that presents a stale token of the login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Return the stored token.
    Serve,
    /// Refresh at the issuer of the login, once for all callers.
    Refresh,
    /// Exchange at the remote issuer; with `refresh_first`, after a refresh.
    Exchange { refresh_first: bool },
    /// Refuse.
    Refuse(Refused),
}

impl Service {
    /// Explains the decision for `server` and the session `id`.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::UnknownServer`], or the store.
    pub(crate) async fn explain(&self, id: &SecretString, server: &str) -> Result<Explanation, Refused> {
        let Some(server) = self.servers.get(server) else {
            let names: Vec<&str> = self
                .config
                .servers
                .iter()
                .map(|server| server.name.as_str())
                .collect();
            return Err(
                Refused::new(Refusal::UnknownServer).because(format!("configured are {}", names.join(", ")))
            );
        };
        let session = SessionKey::of_id(id);
        let found = self.sessions.grant(&session).await?;
        let since = found
            .as_ref()
            .map_or_else(Entitlement::default, |(_, since)| *since);
        let (grant, exchange) = match (&found, &server.remote) {
            (None, _) => (None, None),
            (Some((key, _)), None) => (self.grants.record(key).await?, None),
            (Some((key, _)), Some(remote)) => {
                let name = ExchangeKey::new(key, &remote.config, &server.config.required_audiences);
                (
                    self.grants.record(key).await?,
                    self.exchanges.record(&name).await?,
                )
            }
        };
        let now_ms = self.context.clock.now_ms();
        let grant = grant.filter(|grant| !since.is_revoked(grant));
        let next = self.next_action(server, grant.as_ref(), exchange.as_ref(), now_ms);
        let inputs = view::Inputs {
            server,
            policy: &self.policy,
            now_ms,
            grant: grant.as_ref(),
            exchange: exchange.as_ref(),
            next: &next,
            home_throttled: grant.as_ref().and_then(|grant| self.home_throttled(grant)),
        };
        let mut explanation = inputs.explanation(session.short());
        explanation.what_next = summary::what_next(
            &inputs,
            explanation.grant.as_ref(),
            explanation.exchange.as_ref(),
            self.config.caller_deadline,
        );
        Ok(explanation)
    }

    fn home_throttled(&self, grant: &GrantRecord) -> Option<Throttled> {
        self.home(&grant.issuer, &grant.client_id)?.circuit_open()
    }

    /// Replaces a refresh while the issuer's limits suspend calls: the stored token is served as long as it is fresh,
    /// then the request is refused.
    fn without_throttled_refresh(&self, grant: &GrantRecord, decision: Decision, now_ms: u64) -> Decision {
        let Some(throttled) = self.home_throttled(grant) else {
            return decision;
        };
        let mut stored = grant.id_token.iter();
        match decision {
            Decision::Refresh
                if stored.any(|token| is_fresh(token.exp_seconds, self.policy.margin, now_ms)) =>
            {
                Decision::Serve
            }
            Decision::Refresh => Decision::Refuse(throttled.refused(Refusal::IssuerUnavailable)),
            decision => decision,
        }
    }

    /// The decision at this moment, as a token request would reach it.
    fn next_action(
        &self,
        server: &Server,
        grant: Option<&GrantRecord>,
        exchange: Option<&ExchangeRecord>,
        now_ms: u64,
    ) -> NextAction {
        let Some(grant) = grant else {
            return NextAction::Refuse(Refusal::UnknownSession.into());
        };
        // A caller rarely presents the newest token; when it does, that token is not stale.
        let want = Want::id_token(Reason::Stale, "", Entitlement::default());
        let home = self.without_throttled_refresh(grant, decide(grant, &want, &self.policy, now_ms), now_ms);
        if server.remote.is_none() {
            return match home {
                Decision::Serve if missing_audiences(grant, &server.config.required_audiences).is_empty() => {
                    NextAction::Serve
                }
                Decision::Serve => NextAction::Refuse(Refusal::WrongAudience.into()),
                Decision::Refresh => NextAction::Refresh,
                Decision::Refuse(refused) => NextAction::Refuse(refused),
            };
        }
        match exchanges::decide(exchange, Reason::Stale, &self.policy, now_ms) {
            exchanges::ExchangeDecision::Serve => NextAction::Serve,
            exchanges::ExchangeDecision::Refuse(refused) => NextAction::Refuse(refused),
            exchanges::ExchangeDecision::Exchange => match (home, remote_throttled(server)) {
                (Decision::Refuse(refused), _) => NextAction::Refuse(refused),
                (_, Some(throttled)) => NextAction::Refuse(throttled.refused(Refusal::ExchangeUnavailable)),
                (Decision::Serve, None) => NextAction::Exchange { refresh_first: false },
                (Decision::Refresh, None) => NextAction::Exchange { refresh_first: true },
            },
        }
    }
}

fn remote_throttled(server: &Server) -> Option<Throttled> {
    server.remote.as_ref()?.circuit_open()
}

/// The audiences in `required` that the stored ID token lacks.
fn missing_audiences(grant: &GrantRecord, required: &[String]) -> Vec<String> {
    let Some(token) = &grant.id_token else {
        return Vec::new();
    };
    required
        .iter()
        .filter(|audience| !token.audiences.contains(audience))
        .cloned()
        .collect()
}
