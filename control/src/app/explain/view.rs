//! The JSON of an explanation. Times are Unix seconds, durations are seconds.

use serde::Serialize;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;

use super::pair::PairView;
use super::{FreshAction, NextAction, missing_audiences, remote_throttled};
use crate::app::Server;
use crate::config::TokenSource;
use crate::digest;
use crate::upstream::exchange::record::ExchangeRecord;
use crate::upstream::grant::record::{GrantRecord, GrantState};
use crate::upstream::issuer::limits::Throttled;
use crate::upstream::policy::Policy;
use crate::upstream::renewal::is_near_expiry;
use crate::upstream::streak::{Streak, StreakKind};
use crate::upstream::token_kind::TokenKind;

/// The response of `GET /v1/explain`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Explanation {
    /// The server in the request.
    pub(crate) server: ServerView,
    /// The session in the request, if it named one.
    pub(crate) session: Option<SessionView>,
    /// The pair, where its digest is known.
    pub(crate) pair: Option<PairView>,
    /// Whether control has a login of that session or user.
    pub(crate) registered: bool,
    /// The login, if there is one.
    pub(crate) grant: Option<GrantView>,
    /// The exchanged token, if the server needs one and the user is known.
    pub(crate) exchange: Option<ExchangeView>,
    /// `serve`, `refresh`, `exchange`, `refresh_and_exchange` or `refuse`: what control does for the next request with a
    /// stale token.
    pub(crate) next: &'static str,
    /// Without a login: `forward`, `serve`, `exchange` or `refuse`, what happens to a request with a fresh token.
    pub(crate) next_if_fresh: Option<&'static str>,
    /// The refusal, if `next` is `refuse`.
    pub(crate) refusal: Option<&'static str>,
    /// When a retry can succeed, if that is known.
    pub(crate) retry_after_seconds: Option<u64>,
    /// The same in a sentence or two: what happens next, and what the user, the aggregator or an operator has to do.
    pub(crate) what_next: String,
}

/// A server, as configured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerView {
    /// Its name.
    pub(crate) name: String,
    /// `forward` or `exchange`.
    pub(crate) token: &'static str,
    /// What it gets: an ID token or an access token.
    pub(crate) receives: TokenKind,
    /// The audiences that `aud` of its tokens must contain.
    pub(crate) required_audiences: Vec<String>,
    /// The issuer of its exchanged tokens.
    pub(crate) exchange_issuer: Option<String>,
}

/// A session.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SessionView {
    /// As in log lines: the first eight hex digits of the digest of the handle.
    pub(crate) digest: String,
    /// Whether a login registered it and nothing has ended it since.
    pub(crate) known: bool,
    /// `here`: the login was made at control's own authorization server. `aggregator`: the aggregator registers it.
    pub(crate) logged_in: &'static str,
}

/// A login.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GrantView {
    /// `iss`.
    pub(crate) issuer: String,
    /// The client that logged the user in.
    pub(crate) client_id: String,
    /// `active`, `suspect` or `needs_login`.
    pub(crate) state: &'static str,
    /// The reason of a state that is not `active`.
    pub(crate) reason: Option<&'static str>,
    /// The start of a state that is not `active`.
    pub(crate) since: Option<u64>,
    /// Counts the user's logins.
    pub(crate) generation: u64,
    /// The time of the present login.
    pub(crate) logged_in_at: u64,
    /// The time of the last refresh.
    pub(crate) refreshed_at: Option<u64>,
    /// Whether there is a usable refresh token.
    pub(crate) refreshable: bool,
    /// Whether control no longer calls the issuer for this login.
    pub(crate) never_asked_again: bool,
    /// The stored ID token.
    pub(crate) id_token: Option<TokenView>,
    /// The kept access token, where some server needs it.
    pub(crate) access_token: Option<TokenView>,
    /// A presentation of the refresh token whose outcome is not stored yet.
    pub(crate) intent: Option<IntentView>,
    /// The outcome of the last refresh: `refreshed`, `dead`, or the kind of the last failure.
    pub(crate) last_issuer_answer: Option<&'static str>,
    /// Failures since the last success.
    pub(crate) failures: Option<FailuresView>,
    /// The circuit breaker of the issuer suspends calls until then.
    pub(crate) breaker_open_until: Option<u64>,
}

/// A stored token's times and audiences, without the token.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TokenView {
    /// `exp`.
    pub(crate) expires_at: u64,
    /// Seconds until `exp`; negative once it is past.
    pub(crate) expires_in_seconds: i64,
    /// `fresh`, `near_expiry` or `stale`, by control's own margin.
    pub(crate) freshness: &'static str,
    /// Audiences that the server requires and the token lacks.
    pub(crate) missing_audiences: Vec<String>,
}

/// A refresh in progress.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct IntentView {
    /// The generation of the login that it refreshes.
    pub(crate) generation: u64,
    /// Seconds since it began.
    pub(crate) began_seconds_ago: u64,
}

/// Consecutive failures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FailuresView {
    /// `unreachable`, `failing`, `denied`, `misconfigured`, `substituted`, `not_oauth` or `unusable`.
    pub(crate) kind: &'static str,
    /// Their number.
    pub(crate) count: u32,
    /// The number of the last ones that are of this kind.
    pub(crate) of_this_kind: u32,
    /// Time of the first of this kind.
    pub(crate) since: u64,
    /// Seconds until the next attempt; 0: the next request makes one.
    pub(crate) next_attempt_in_seconds: u64,
}

/// The exchange for one server.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ExchangeView {
    /// The stored token, exchanged under the present configuration of the server.
    pub(crate) token: Option<TokenView>,
    /// The time of the exchange.
    pub(crate) made_at: Option<u64>,
    /// Failures since the last success.
    pub(crate) failures: Option<FailuresView>,
    /// The circuit breaker of the remote issuer suspends calls until then.
    pub(crate) breaker_open_until: Option<u64>,
}

/// The inputs of an explanation.
pub(super) struct Inputs<'a> {
    pub(super) server: &'a Server,
    pub(super) policy: &'a Policy,
    pub(super) now_ms: u64,
    pub(super) grant: Option<&'a GrantRecord>,
    pub(super) exchange: Option<&'a ExchangeRecord>,
    pub(super) next: &'a NextAction,
    /// Without a login.
    pub(super) fresh: Option<FreshAction>,
    pub(super) home_throttled: Option<Throttled>,
}

impl Inputs<'_> {
    /// The explanation of a session, if there is one: its short digest, and whether its login was made here.
    pub(super) fn explanation(&self, session: Option<(String, bool)>) -> Explanation {
        let (next, refused) = match self.next {
            NextAction::Serve => ("serve", None),
            NextAction::Refresh => ("refresh", None),
            NextAction::Exchange { refresh_first: false } => ("exchange", None),
            NextAction::Exchange { refresh_first: true } => ("refresh_and_exchange", None),
            NextAction::Refuse(refused) => ("refuse", Some(refused)),
        };
        let server = self.server_view();
        let grant = self.grant.map(|grant| self.grant_view(grant));
        let is_user_known = self.grant.is_some() || session.is_none();
        let exchange = self.exchange_view().filter(|_| is_user_known);
        Explanation {
            session: session.map(|(digest, here)| SessionView {
                digest,
                known: grant.is_some(),
                logged_in: if here { "here" } else { "aggregator" },
            }),
            pair: None,
            registered: grant.is_some(),
            server,
            grant,
            exchange,
            next,
            next_if_fresh: self.fresh.map(|action| match action {
                FreshAction::Forward => "forward",
                FreshAction::Serve => "serve",
                FreshAction::Exchange => "exchange",
                FreshAction::Refuse => "refuse",
            }),
            refusal: refused.map(|refused| refused.refusal.name()),
            retry_after_seconds: refused.and_then(|refused| refused.retry_after_header()),
            what_next: String::new(),
        }
    }

    fn server_view(&self) -> ServerView {
        let config = &self.server.config;
        let (token, exchange_issuer) = match &config.token {
            TokenSource::Forward | TokenSource::ForwardAccessToken => ("forward", None),
            TokenSource::Exchange(exchange) => ("exchange", Some(exchange.expected_issuer.clone())),
        };
        ServerView {
            name: config.name.clone(),
            token,
            receives: self.receives(),
            required_audiences: config.required_audiences.clone(),
            exchange_issuer,
        }
    }

    /// What the server gets.
    pub(super) fn receives(&self) -> TokenKind {
        match self.server.config.token {
            TokenSource::ForwardAccessToken => TokenKind::AccessToken,
            TokenSource::Forward | TokenSource::Exchange(_) => TokenKind::IdToken,
        }
    }

    fn grant_view(&self, grant: &GrantRecord) -> GrantView {
        let (state, reason, since_ms) = match grant.state {
            GrantState::Active => ("active", None, None),
            GrantState::Suspect { since_ms } => (
                "suspect",
                Some("the issuer refused the refresh token; another refresh may just have rotated it"),
                Some(since_ms),
            ),
            GrantState::Dead { reason, since_ms } => ("needs_login", Some(reason.as_str()), Some(since_ms)),
            GrantState::SignedOut { since_ms } => {
                ("needs_login", Some("the user signed out"), Some(since_ms))
            }
        };
        let dead = matches!(
            grant.state,
            GrantState::Dead { .. } | GrantState::SignedOut { .. }
        );
        let failures = grant.failures.as_ref().map(|streak| self.failures_view(streak));
        let last_issuer_answer = match (&failures, grant.refreshed_at_ms) {
            _ if dead => Some("dead"),
            (Some(failures), _) => Some(failures.kind),
            (None, Some(_)) => Some("refreshed"),
            (None, None) => None,
        };
        // With an exchange, the server's audiences apply to the exchanged token only.
        let missing = |kind| {
            let is_received = self.server.config.token.is_forward() && self.receives() == kind;
            if is_received {
                missing_audiences(grant, &self.server.config)
            } else {
                Vec::new()
            }
        };
        let id_token = grant.id_token.as_ref().map(|token| TokenView {
            missing_audiences: missing(TokenKind::IdToken),
            ..self.token_view(
                token.exp_seconds,
                token.issued_at_seconds,
                digest::spread(&token.fingerprint),
            )
        });
        let access_token = grant.access_token().map(|token| TokenView {
            missing_audiences: missing(TokenKind::AccessToken),
            ..self.token_view(token.exp_seconds, token.issued_at_seconds, token.spread())
        });
        GrantView {
            issuer: grant.issuer.clone(),
            client_id: grant.client_id.clone(),
            state,
            reason,
            since: since_ms.map(|since_ms| since_ms / 1000),
            generation: grant.generation,
            logged_in_at: grant.logged_in_at_ms / 1000,
            refreshed_at: grant.refreshed_at_ms.map(|at_ms| at_ms / 1000),
            refreshable: grant.refresh_token.is_some() && !dead,
            never_asked_again: dead,
            id_token,
            access_token,
            intent: grant.intent.as_ref().map(|intent| IntentView {
                generation: intent.generation,
                began_seconds_ago: self.now_ms.saturating_sub(intent.started_at_ms) / 1000,
            }),
            last_issuer_answer,
            failures,
            breaker_open_until: self.open_until(self.home_throttled),
        }
    }

    fn exchange_view(&self) -> Option<ExchangeView> {
        self.server.remote.as_ref()?;
        let token = self.exchange.and_then(|record| record.token.as_ref());
        Some(ExchangeView {
            token: token
                .map(|token| self.token_view(token.exp_seconds, token.issued_at_seconds, token.spread())),
            made_at: token.map(|token| token.made_at_ms / 1000),
            failures: self
                .exchange
                .and_then(|record| record.failures.as_ref())
                .map(|streak| self.failures_view(streak)),
            breaker_open_until: self.open_until(remote_throttled(self.server)),
        })
    }

    fn open_until(&self, throttled: Option<Throttled>) -> Option<u64> {
        let left_ms = whole_ms(throttled?.retry_after);
        Some((self.now_ms + left_ms).div_ceil(1000))
    }

    fn token_view(&self, exp_seconds: u64, issued_at_seconds: Option<u64>, spread: u32) -> TokenView {
        let margin = self.policy.margin;
        let freshness = if !is_fresh(exp_seconds, margin, self.now_ms) {
            "stale"
        } else if is_near_expiry(exp_seconds, issued_at_seconds, margin, self.now_ms, spread) {
            "near_expiry"
        } else {
            "fresh"
        };
        TokenView {
            expires_at: exp_seconds,
            expires_in_seconds: exp_seconds
                .cast_signed()
                .saturating_sub((self.now_ms / 1000).cast_signed()),
            freshness,
            missing_audiences: Vec::new(),
        }
    }

    fn failures_view(&self, streak: &Streak) -> FailuresView {
        FailuresView {
            kind: match streak.kind {
                StreakKind::NoIdToken => "no_id_token",
                StreakKind::Unreachable | StreakKind::RetryAfter => "unreachable",
                StreakKind::Failing => "failing",
                StreakKind::Denied => "denied",
                StreakKind::Interaction => "interaction",
                StreakKind::Misconfigured => "misconfigured",
                StreakKind::Substituted => "substituted",
                StreakKind::NotOauth => "not_oauth",
                StreakKind::Unusable => "unusable",
            },
            count: streak.count,
            of_this_kind: streak.same_kind,
            since: streak.since_ms / 1000,
            next_attempt_in_seconds: streak.wait(self.now_ms).map_or(0, |wait| {
                wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
            }),
        }
    }
}
