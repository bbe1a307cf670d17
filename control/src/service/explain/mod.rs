//! Why a session gets, or does not get, a token for a server: everything that the decision rests on, and what it
//! would be now. Nothing is changed and no issuer is asked. No token is in it.

mod view;
mod words;

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

pub use view::{
    ExchangeView, Explanation, FailuresView, GrantView, IntentView, ServerView, SessionView, TokenView,
};

use super::{Server, Service};
use crate::exchange::record::{self as exchanges, ExchangeKey, ExchangeRecord};
use crate::grant::decide::{Decision, Want, decide};
use crate::grant::record::{GrantRecord, GrantState};
use crate::refused::Refused;
use crate::session::SessionKey;

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
        let key = self.sessions.grant(&session).await?;
        let (grant, exchange) = match (&key, &server.remote) {
            (None, _) => (None, None),
            (Some(key), None) => (self.grants.record(key).await?, None),
            (Some(key), Some(remote)) => {
                let name = ExchangeKey::new(key, &remote.config, &server.config.required_audiences);
                (
                    self.grants.record(key).await?,
                    self.exchanges.record(&name).await?,
                )
            }
        };
        let now_ms = self.context.clock.now_ms();
        let grant = grant.filter(|grant| !matches!(grant.state, GrantState::SignedOut { .. }));
        let next = self.next(server, grant.as_ref(), exchange.as_ref(), now_ms);
        let view = view::Facts {
            server,
            policy: &self.policy,
            now_ms,
            grant: grant.as_ref(),
            exchange: exchange.as_ref(),
            next: &next,
        };
        Ok(view.explanation(session.short(), self.config.caller_deadline))
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
        };
        let home = decide(grant, &want, &self.policy, now_ms);
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
            exchanges::Decision::Exchange => match home {
                Decision::Serve => Next::Exchange { refresh_first: false },
                Decision::Refresh => Next::Exchange { refresh_first: true },
                Decision::Refuse(refused) => Next::Refuse(refused),
            },
        }
    }
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
