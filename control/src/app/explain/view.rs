//! What an explanation shows. Moments are Unix seconds, spans are seconds.

use std::time::Duration;

use serde::Serialize;
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;

use super::{Next, lacks, remote_left_alone, words};
use crate::app::Server;
use crate::config::TokenSource;
use crate::digest;
use crate::upstream::exchange::record::ExchangeRecord;
use crate::upstream::grant::record::{GrantRecord, GrantState};
use crate::upstream::issuer::limits::Throttled;
use crate::upstream::policy::Policy;
use crate::upstream::renewal::is_near_expiry;
use crate::upstream::streak::{Streak, StreakKind};

/// The answer of `GET /v1/explain`.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The server that was asked about.
    pub server: ServerView,
    /// The session that was asked about.
    pub session: SessionView,
    /// The login, where the session is known.
    pub grant: Option<GrantView>,
    /// The exchanged token, where the server needs one and the session is known.
    pub exchange: Option<ExchangeView>,
    /// `serve`, `refresh`, `exchange`, `refresh_and_exchange` or `refuse`: what control does for the next request.
    pub next: &'static str,
    /// The refusal, where it refuses.
    pub refusal: Option<&'static str>,
    /// When asking again can help, where that is known.
    pub retry_after_seconds: Option<u64>,
    /// The same in a sentence or two: what happens next, and who has to do what.
    pub what_next: String,
}

/// A server, as configured.
#[derive(Debug, Clone, Serialize)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// `forward` or `exchange`.
    pub token: &'static str,
    /// What its tokens' `aud` must hold.
    pub required_audiences: Vec<String>,
    /// Where its tokens are exchanged.
    pub exchange_issuer: Option<String>,
}

/// A session.
#[derive(Debug, Clone, Serialize)]
pub struct SessionView {
    /// As log lines name it: the first eight digits of a digest of the handle.
    pub digest: String,
    /// Whether a `PUT` brought it and nothing has ended it since.
    pub known: bool,
}

/// A login.
#[derive(Debug, Clone, Serialize)]
pub struct GrantView {
    /// `iss`.
    pub issuer: String,
    /// The client that logged the user in.
    pub client_id: String,
    /// `active`, `suspect` or `needs_login`.
    pub state: &'static str,
    /// Why, where the state is not `active`.
    pub reason: Option<&'static str>,
    /// Since when, where the state is not `active`.
    pub since: Option<u64>,
    /// Counts the user's logins.
    pub generation: u64,
    /// When this one began.
    pub logged_in_at: u64,
    /// The last refresh.
    pub refreshed_at: Option<u64>,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// Whether the issuer is never asked for this login again.
    pub never_asked_again: bool,
    /// The kept ID token.
    pub id_token: Option<TokenView>,
    /// A presentation of the refresh token whose outcome is not written down yet.
    pub intent: Option<IntentView>,
    /// What the issuer last made of a refresh: `refreshed`, `dead`, or the kind of the last failure.
    pub last_issuer_answer: Option<&'static str>,
    /// Failures since the last success.
    pub failures: Option<FailuresView>,
    /// The issuer fails everybody and is asked by nobody until then.
    pub breaker_open_until: Option<u64>,
}

/// A kept token, without the token.
#[derive(Debug, Clone, Serialize)]
pub struct TokenView {
    /// `exp`.
    pub expires_at: u64,
    /// Until then; negative when it is past.
    pub expires_in_seconds: i64,
    /// `fresh`, `near_expiry` or `stale`, by control's own margin.
    pub freshness: &'static str,
    /// Audiences that the server requires and the token lacks.
    pub missing_audiences: Vec<String>,
}

/// A refresh under way.
#[derive(Debug, Clone, Serialize)]
pub struct IntentView {
    /// Which login it refreshes.
    pub generation: u64,
    /// How long ago it began.
    pub began_seconds_ago: u64,
}

/// Failures without a success in between.
#[derive(Debug, Clone, Serialize)]
pub struct FailuresView {
    /// `unreachable`, `failing`, `denied`, `misconfigured` or `substituted`.
    pub kind: &'static str,
    /// How many.
    pub count: u32,
    /// How many of the same kind in a row.
    pub of_this_kind: u32,
    /// Since when of this kind.
    pub since: u64,
    /// No attempt is made before then; 0: the next request makes one.
    pub next_attempt_in_seconds: u64,
}

/// The exchange for one server.
#[derive(Debug, Clone, Serialize)]
pub struct ExchangeView {
    /// The kept token, made under the present configuration of the server.
    pub token: Option<TokenView>,
    /// When it was made.
    pub made_at: Option<u64>,
    /// Failures since the last success.
    pub failures: Option<FailuresView>,
    /// The remote issuer fails everybody and is asked by nobody until then.
    pub breaker_open_until: Option<u64>,
}

/// Everything that an explanation is made from.
pub(super) struct Facts<'a> {
    pub(super) server: &'a Server,
    pub(super) policy: &'a Policy,
    pub(super) now_ms: u64,
    pub(super) grant: Option<&'a GrantRecord>,
    pub(super) exchange: Option<&'a ExchangeRecord>,
    pub(super) next: &'a Next,
    pub(super) home_left_alone: Option<Throttled>,
}

impl Facts<'_> {
    pub(super) fn explanation(&self, session: &str, caller_deadline: Duration) -> Explanation {
        let (next, refused) = match self.next {
            Next::Serve => ("serve", None),
            Next::Refresh => ("refresh", None),
            Next::Exchange { refresh_first: false } => ("exchange", None),
            Next::Exchange { refresh_first: true } => ("refresh_and_exchange", None),
            Next::Refuse(refused) => ("refuse", Some(refused)),
        };
        let server = self.server_view();
        let grant = self.grant.map(|grant| self.grant_view(grant));
        let exchange = self.grant.and(self.exchange_view());
        let what_next = words::what_next(self, grant.as_ref(), exchange.as_ref(), caller_deadline);
        Explanation {
            session: SessionView {
                digest: session.to_owned(),
                known: grant.is_some(),
            },
            server,
            grant,
            exchange,
            next,
            refusal: refused.map(|refused| refused.refusal.name()),
            retry_after_seconds: refused.and_then(|refused| refused.retry_after_header()),
            what_next,
        }
    }

    fn server_view(&self) -> ServerView {
        let config = &self.server.config;
        let (token, exchange_issuer) = match &config.token {
            TokenSource::Forward => ("forward", None),
            TokenSource::Exchange(exchange) => ("exchange", Some(exchange.expected_issuer.clone())),
        };
        ServerView {
            name: config.name.clone(),
            token,
            required_audiences: config.required_audiences.clone(),
            exchange_issuer,
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
        // Where the login's own token is exchanged, the server's audiences are the exchanged token's.
        let missing_audiences = match self.server.config.token {
            TokenSource::Forward => lacks(grant, &self.server.config.required_audiences),
            TokenSource::Exchange(_) => Vec::new(),
        };
        let id_token = grant.id_token.as_ref().map(|kept| TokenView {
            missing_audiences,
            ..self.token_view(
                kept.exp_seconds,
                kept.issued_at_seconds,
                digest::spread(&kept.fingerprint),
            )
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
            intent: grant.intent.as_ref().map(|intent| IntentView {
                generation: intent.generation,
                began_seconds_ago: self.now_ms.saturating_sub(intent.started_at_ms) / 1000,
            }),
            last_issuer_answer,
            failures,
            breaker_open_until: self.open_until(self.home_left_alone),
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
            breaker_open_until: self.open_until(remote_left_alone(self.server)),
        })
    }

    fn open_until(&self, held_back: Option<Throttled>) -> Option<u64> {
        let left_ms = whole_ms(held_back?.retry_after);
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
                StreakKind::Unreachable | StreakKind::RetryAfter => "unreachable",
                StreakKind::Failing => "failing",
                StreakKind::Denied => "denied",
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
