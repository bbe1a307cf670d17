//! Why a session gets, or does not get, a token for a server: everything that the decision rests on, and what it
//! would be now. Nothing is changed and no issuer is asked. No token is in it.

mod summary;
mod view;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

pub use view::{
    ExchangeView, Explanation, FailuresView, GrantView, IntentView, ServerView, SessionView, TokenView,
};

use super::{Server, Service};
use crate::refused::Refused;
use crate::session::SessionKey;
use crate::upstream::exchange::record::{self as exchanges, ExchangeKey, ExchangeRecord};
use crate::upstream::grant::decide::{Decision, Since, Want, decide, is_fresh};
use crate::upstream::grant::record::GrantRecord;
use crate::upstream::issuer::limits::Throttled;

/// What control would do for a caller that presents a stale token of this login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Hand out what is kept.
    Serve,
    /// Refresh at the home issuer, once for all callers.
    Refresh,
    /// Exchange at the remote issuer, where `refresh_first` after a refresh.
    Exchange { refresh_first: bool },
    /// Refuse.
    Refuse(Refused),
}

impl Service {
    /// Why the session `id` gets what it gets for `server`.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::UnknownServer`], or the store.
    pub async fn explain(&self, id: &SecretString, server: &str) -> Result<Explanation, Refused> {
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
        let since = found.as_ref().map_or_else(Since::default, |(_, since)| *since);
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
        let grant = grant.filter(|grant| !since.is_over(grant));
        let next = self.next(server, grant.as_ref(), exchange.as_ref(), now_ms);
        let view = view::Facts {
            server,
            policy: &self.policy,
            now_ms,
            grant: grant.as_ref(),
            exchange: exchange.as_ref(),
            next: &next,
            home_left_alone: grant.as_ref().and_then(|grant| self.home_left_alone(grant)),
        };
        Ok(view.explanation(session.short(), self.config.caller_deadline))
    }

    fn home_left_alone(&self, grant: &GrantRecord) -> Option<Throttled> {
        self.home(&grant.issuer, &grant.client_id)?.left_alone()
    }

    /// An issuer that is left alone is not asked; what is kept is good until its last moment.
    fn unless_left_alone(&self, grant: &GrantRecord, decision: Decision, now_ms: u64) -> Decision {
        let Some(held_back) = self.home_left_alone(grant) else {
            return decision;
        };
        let mut kept = grant.id_token.iter();
        match decision {
            Decision::Refresh if kept.any(|kept| is_fresh(kept.exp_seconds, self.policy.margin, now_ms)) => {
                Decision::Serve
            }
            Decision::Refresh => Decision::Refuse(held_back.refused(Refusal::IssuerUnavailable)),
            decision => decision,
        }
    }

    fn next(
        &self,
        server: &Server,
        grant: Option<&GrantRecord>,
        exchange: Option<&ExchangeRecord>,
        now_ms: u64,
    ) -> Next {
        let Some(grant) = grant else {
            return Next::Refuse(Refusal::UnknownSession.into());
        };
        // A caller's token is mostly not the newest one; when it is, it is not stale.
        let want = Want {
            reason: Reason::Stale,
            presented_fingerprint: String::new(),
            since: Since::default(),
        };
        let home = self.unless_left_alone(grant, decide(grant, &want, &self.policy, now_ms), now_ms);
        if server.remote.is_none() {
            return match home {
                Decision::Serve if lacks(grant, &server.config.required_audiences).is_empty() => Next::Serve,
                Decision::Serve => Next::Refuse(Refusal::WrongAudience.into()),
                Decision::Refresh => Next::Refresh,
                Decision::Refuse(refused) => Next::Refuse(refused),
            };
        }
        match exchanges::decide(exchange, Reason::Stale, &self.policy, now_ms) {
            exchanges::Decision::Serve => Next::Serve,
            exchanges::Decision::Refuse(refused) => Next::Refuse(refused),
            exchanges::Decision::Exchange => match (home, remote_left_alone(server)) {
                (Decision::Refuse(refused), _) => Next::Refuse(refused),
                (_, Some(held_back)) => Next::Refuse(held_back.refused(Refusal::ExchangeUnavailable)),
                (Decision::Serve, None) => Next::Exchange { refresh_first: false },
                (Decision::Refresh, None) => Next::Exchange { refresh_first: true },
            },
        }
    }
}

fn remote_left_alone(server: &Server) -> Option<Throttled> {
    server.remote.as_ref()?.left_alone()
}

/// Those of `required` that the kept ID token does not have.
fn lacks(grant: &GrantRecord, required: &[String]) -> Vec<String> {
    let Some(kept) = &grant.id_token else {
        return Vec::new();
    };
    required
        .iter()
        .filter(|audience| !kept.audiences.contains(audience))
        .cloned()
        .collect()
}
