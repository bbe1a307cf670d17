//! Explains why a session, a user or a pair gets a token for a server, or does not: the inputs of the decision, and the decision
//! at this moment. Reads the store only: nothing is changed and no issuer is called. The explanation contains no token.

mod caller;
mod pair;
mod summary;
mod view;

use std::sync::Arc;

use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

pub(crate) use caller::ExplainedCaller;
pub(crate) use view::{Explanation, TokenView};

use super::{Server, Service};
use crate::config::{RefreshTokens, ServerConfig, TokenSource};
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::record::{self as exchanges, ExchangeKey, ExchangeRecord};
use crate::upstream::exchange::standing::Standing;
use crate::upstream::grant::decide::{Decision, Want, decide};
use crate::upstream::grant::record::{GrantKey, GrantRecord};
use crate::upstream::grant::{LoginQuery, UserLogin};
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

/// What happens to a request with a fresh token of a user without a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreshAction {
    /// The filter forwards it as it is.
    Forward,
    /// Control returns the stored exchanged token.
    Serve,
    /// Control exchanges the presented token.
    Exchange,
    /// Control refuses: the exchange failed a moment ago, or the server gets an access token, which only a login has.
    Refuse,
}

impl Service {
    /// Explains the decision for `caller` at `server`. A pair names its server itself.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::UnknownServer`], [`Refusal::BadRequest`] for an issuer that is not configured or a pair that is
    /// not recorded, or the store.
    pub(crate) async fn explain(
        &self,
        caller: &ExplainedCaller,
        server: Option<&str>,
    ) -> Result<Explanation, Refused> {
        // The name first: a mistake in it must not look like a fault of the session.
        if let Some(server) = server {
            self.explained_server(server)?;
        }
        let found = self.find(caller, server).await?;
        let server = self.explained_server(&found.server)?;
        let (key, since, session) = (&found.grant, found.since, &found.session);
        let (stored, exchange) = match key {
            None => (None, None),
            Some(key) => (
                self.grants.record(key).await?,
                self.explained_exchange(key, server).await?,
            ),
        };
        let standing = Standing::of(stored.as_ref(), since);
        let grant = stored.filter(|grant| !since.is_revoked(grant));
        let now_ms = self.context.clock.now_ms();
        let next = match (&grant, session) {
            (Some(grant), _) => self.next_action(server, grant, exchange.as_ref(), now_ms),
            (None, Some(_)) => NextAction::Refuse(Refusal::UnknownSession.into()),
            (None, None) => NextAction::Refuse(Refusal::TokenExpired.into()),
        };
        let inputs = view::Inputs {
            server,
            policy: &self.policy,
            now_ms,
            grant: grant.as_ref(),
            exchange: exchange.as_ref(),
            next: &next,
            fresh: match grant {
                Some(_) => None,
                None => Some(self.fresh_action(server, exchange.clone(), standing, now_ms)),
            },
            home_throttled: grant.as_ref().and_then(|grant| self.home_throttled(grant)),
        };
        let session = match session {
            Some(session) => Some((session.short().to_owned(), self.is_logged_in_here(session).await?)),
            None => None,
        };
        let mut explanation = inputs.explanation(session);
        explanation.pair = found
            .pair
            .as_deref()
            .map(|digest| pair::PairView::new(digest, found.recorded.as_ref(), found.user.as_ref()));
        explanation.what_next = summary::what_next(&inputs, &explanation, self.config.caller_deadline);
        Ok(explanation)
    }

    fn explained_server(&self, server: &str) -> Result<&Arc<Server>, Refused> {
        self.servers.get(server).ok_or_else(|| {
            let names: Vec<&str> = self
                .config
                .servers
                .iter()
                .map(|server| server.name.as_str())
                .collect();
            Refused::new(Refusal::UnknownServer).because(format!("configured are {}", names.join(", ")))
        })
    }

    async fn explained_exchange(
        &self,
        grant: &GrantKey,
        server: &Server,
    ) -> Result<Option<ExchangeRecord>, Refused> {
        let Some(remote) = &server.remote else {
            return Ok(None);
        };
        let key = ExchangeKey::new(grant, &remote.config, &server.config.required_audiences);
        Ok(self.exchanges.record(&key).await?)
    }

    /// The grant of the user with the first client of the issuer that has a login, else with the first client; where each login has a
    /// refresh token of its own, the grant of the newest login.
    async fn grant_of_user(&self, issuer: Option<&str>, subject: &str) -> Result<GrantKey, Refused> {
        let first = self.homes.first().map(|home| home.config.issuer.as_str());
        let is_one = self
            .homes
            .iter()
            .all(|home| Some(home.config.issuer.as_str()) == first);
        let Some(issuer) = issuer.or(first.filter(|_| is_one)) else {
            return Err(Refused::new(Refusal::BadRequest).because(
                "several issuers are configured: name the user's in the header x-tokenward-issuer",
            ));
        };
        let mut first = None;
        for home in self.homes.iter().filter(|home| home.config.issuer == issuer) {
            let user = GrantKey::new(issuer, &home.config.client_id, subject);
            let query = LoginQuery {
                user: &user,
                given: None,
                sid: None,
                entitlement: Entitlement::default(),
            };
            if home.config.refresh_tokens == RefreshTokens::PerLogin {
                if let UserLogin::Of(login) = self.grants.login_of(query).await? {
                    return Ok(login);
                }
            } else if self.grants.is_known(&user, Entitlement::default()).await? {
                return Ok(user);
            }
            first = first.or(Some(user));
        }
        first.ok_or_else(|| Refused::new(Refusal::BadRequest).because("no such issuer is configured"))
    }

    /// What happens to a request with a fresh token of a user without a login.
    fn fresh_action(
        &self,
        server: &Server,
        exchange: Option<ExchangeRecord>,
        standing: Standing,
        now_ms: u64,
    ) -> FreshAction {
        match server.config.token {
            TokenSource::Forward => return FreshAction::Forward,
            TokenSource::ForwardAccessToken => return FreshAction::Refuse,
            TokenSource::Exchange(_) => {}
        }
        let exchange = exchange.map(|record| standing.without_ended_token(record));
        match exchanges::decide(exchange.as_ref(), Reason::Stale, &self.policy, now_ms) {
            exchanges::ExchangeDecision::Serve => FreshAction::Serve,
            exchanges::ExchangeDecision::Refuse(_) => FreshAction::Refuse,
            exchanges::ExchangeDecision::Exchange if remote_throttled(server).is_some() => {
                FreshAction::Refuse
            }
            exchanges::ExchangeDecision::Exchange => FreshAction::Exchange,
        }
    }

    fn home_throttled(&self, grant: &GrantRecord) -> Option<Throttled> {
        self.home(&grant.issuer, &grant.client_id)?.circuit_open()
    }

    /// Replaces a refresh while the issuer's limits suspend calls: the stored token is served as long as it is fresh,
    /// then the request is refused.
    fn without_throttled_refresh(
        &self,
        grant: &GrantRecord,
        server: &Server,
        decision: Decision,
        now_ms: u64,
    ) -> Decision {
        let Some(throttled) = self.home_throttled(grant) else {
            return decision;
        };
        let exp_seconds = match server.config.token {
            TokenSource::ForwardAccessToken => grant.access_token().map(|token| token.exp_seconds),
            _ => grant.id_token.as_ref().map(|token| token.exp_seconds),
        };
        let is_fresh = |exp_seconds| is_fresh(exp_seconds, self.policy.margin, now_ms);
        match decision {
            Decision::Refresh if exp_seconds.is_some_and(is_fresh) => Decision::Serve,
            Decision::Refresh => Decision::Refuse(throttled.refused(Refusal::IssuerUnavailable)),
            decision => decision,
        }
    }

    /// The decision at this moment, as a token request would reach it.
    fn next_action(
        &self,
        server: &Server,
        grant: &GrantRecord,
        exchange: Option<&ExchangeRecord>,
        now_ms: u64,
    ) -> NextAction {
        // A caller rarely presents the newest token; when it does, that token is not stale.
        let want = match server.config.token {
            TokenSource::ForwardAccessToken => Want::access_token(Reason::Stale, Entitlement::default()),
            _ => Want::id_token(Reason::Stale, "", Entitlement::default()),
        };
        let decision = decide(grant, &want, &self.policy, now_ms);
        let home = self.without_throttled_refresh(grant, server, decision, now_ms);
        if server.remote.is_none() {
            return match home {
                Decision::Serve if missing_audiences(grant, &server.config).is_empty() => NextAction::Serve,
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

/// The audiences required by `server` that the login's token for it lacks, as far as the record shows: those of an access token
/// without any are known to its issuer alone.
fn missing_audiences(grant: &GrantRecord, server: &ServerConfig) -> Vec<String> {
    let audiences = match server.token {
        TokenSource::ForwardAccessToken => {
            let stored = grant.extras.access_token.as_ref().map(|token| &token.audiences);
            stored.filter(|audiences| !audiences.is_empty())
        }
        _ => grant.id_token.as_ref().map(|token| &token.audiences),
    };
    let Some(audiences) = audiences else {
        return Vec::new();
    };
    let required = server.required_audiences.iter();
    required
        .filter(|audience| !audiences.contains(audience))
        .cloned()
        .collect()
}
