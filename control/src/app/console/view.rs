//! What the console shows of sessions, users and pairs: plain data without tokens, secrets and session handles.

use secrecy::ExposeSecret as _;

use crate::activity::{PairOutcome, PairRecord};
use crate::app::Service;
use crate::app::explain::Explanation;
use crate::console::identity::UserIdentity;
use crate::session::SessionKey;
use crate::store::StoreError;
use crate::upstream::grant::record::{GrantKey, GrantRecord, GrantState};
use crate::upstream::token_kind::TokenKind;

/// A user's login at an issuer: a grant.
#[derive(Debug, Clone)]
pub(crate) struct UserRow {
    /// Digest of the grant, 64 hex digits.
    pub(crate) grant: String,
    /// The names in the stored ID token; `None`: there is none, or it cannot be opened.
    pub(crate) identity: Option<UserIdentity>,
    /// `iss`.
    pub(crate) issuer: String,
    /// The client that logged the user in.
    pub(crate) client_id: String,
    /// `active`, `suspect`, `needs_login`, `signed_out` or `unreadable`.
    pub(crate) state: &'static str,
    /// The reason of a state that is not `active`.
    pub(crate) reason: &'static str,
    /// Seconds until the stored ID token expires; negative once it has.
    pub(crate) id_token_left_seconds: Option<i64>,
    /// Whether there is a refresh token that can still be used.
    pub(crate) refreshable: bool,
    /// Failed refreshes since the last success.
    pub(crate) failures: u32,
    /// Counts the user's logins.
    pub(crate) generation: u64,
    /// Seconds since the login.
    pub(crate) logged_in_ago_seconds: u64,
    /// Seconds since the last refresh.
    pub(crate) refreshed_ago_seconds: Option<u64>,
}

impl UserRow {
    /// What a person calls the user.
    pub(crate) fn label(&self) -> &str {
        self.identity
            .as_ref()
            .map_or("a user without a stored ID token", UserIdentity::label)
    }
}

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    /// Digest of its handle, 64 hex digits.
    pub(crate) digest: String,
    /// The first eight of them, as in log lines.
    pub(crate) short: String,
    /// Its user's login; `None`: it has expired.
    pub(crate) user: Option<UserRow>,
}

/// A session or user, and a server.
#[derive(Debug, Clone)]
pub(crate) struct PairRow {
    /// The server.
    pub(crate) server: String,
    /// `forward` or `exchange`.
    pub(crate) token: &'static str,
    /// `serve`, `refresh`, `exchange`, `refresh_and_exchange` or `refuse`.
    pub(crate) next: &'static str,
    /// The refusal, if `next` is `refuse`.
    pub(crate) refusal: Option<&'static str>,
    /// Seconds until the server's token expires: the exchanged one, or the user's own.
    pub(crate) left_seconds: Option<i64>,
    /// Failed exchanges since the last success.
    pub(crate) failures: u32,
    /// Its digest, as in log lines, if a request of it was seen in the last hours.
    pub(crate) pair: Option<String>,
    /// How its last recorded request ended, `token` or a refusal, and how many seconds ago.
    pub(crate) last: Option<(String, u64)>,
}

impl PairRow {
    /// From an explanation, and what was last seen of the pair.
    pub(super) fn of(explanation: &Explanation, seen: Option<&PairRecord>, now_ms: u64) -> Self {
        let exchanged = explanation.exchange.as_ref();
        let own = explanation.grant.as_ref();
        let token = match explanation.server.token {
            "exchange" => exchanged.and_then(|exchange| exchange.token.as_ref()),
            _ if explanation.server.receives == TokenKind::AccessToken => {
                own.and_then(|grant| grant.access_token.as_ref())
            }
            _ => own.and_then(|grant| grant.id_token.as_ref()),
        };
        Self {
            server: explanation.server.name.clone(),
            token: explanation.server.token,
            next: explanation.next,
            refusal: explanation.refusal,
            left_seconds: token.map(|token| token.expires_in_seconds),
            failures: exchanged
                .and_then(|exchange| exchange.failures.as_ref())
                .map_or(0, |failures| failures.count),
            pair: seen.map(|seen| seen.pair.clone()),
            last: seen.map(|seen| {
                let outcome = match &seen.outcome {
                    PairOutcome::Token => "token",
                    PairOutcome::Refused { refusal, .. } => refusal,
                };
                (outcome.to_owned(), now_ms.saturating_sub(seen.at_ms) / 1000)
            }),
        }
    }
}

impl Service {
    /// The row of `key`; `None`: there is no such grant.
    ///
    /// # Errors
    /// [`StoreError`], but not for a record that cannot be read: that is a row too.
    pub(super) async fn user_row(&self, key: &GrantKey) -> Result<Option<UserRow>, StoreError> {
        let record = match self.grants.record(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(StoreError::Unexpected { .. }) => return Ok(Some(unreadable(key))),
            Err(error) => return Err(error),
        };
        let now_ms = self.context.clock.now_ms();
        let identity = match self.grants.stored_id_token(key, &record) {
            Ok(token) => token.and_then(|token| UserIdentity::read(token.expose_secret())),
            Err(_) => None,
        };
        Ok(Some(row(key, &record, identity, now_ms)))
    }

    /// The row of `session`; `None`: there is no such session.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn session_row(&self, session: &SessionKey) -> Result<Option<SessionRow>, StoreError> {
        let user = match self.sessions.grant(session).await {
            Ok(None) => return Ok(None),
            Ok(Some((grant, since))) => match self.grants.record(&grant).await {
                Ok(Some(record)) if since.is_revoked(&record) => None,
                _ => self.user_row(&grant).await?,
            },
            Err(StoreError::Unexpected { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Some(SessionRow {
            digest: session.digest().to_owned(),
            short: session.short().to_owned(),
            user,
        }))
    }
}

fn row(key: &GrantKey, record: &GrantRecord, identity: Option<UserIdentity>, now_ms: u64) -> UserRow {
    let ago_seconds = |at_ms: u64| now_ms.saturating_sub(at_ms) / 1000;
    let (state, reason) = match record.state {
        GrantState::Active => ("active", ""),
        GrantState::Suspect { .. } => (
            "suspect",
            "the issuer refused the refresh token; another refresh may just have rotated it",
        ),
        GrantState::Dead { reason, .. } => ("needs_login", reason.as_str()),
        GrantState::SignedOut { .. } => ("signed_out", "the user signed out"),
    };
    let is_over = matches!(
        record.state,
        GrantState::Dead { .. } | GrantState::SignedOut { .. }
    );
    let now_seconds = (now_ms / 1000).cast_signed();
    UserRow {
        grant: key.digest().to_owned(),
        identity,
        issuer: record.issuer.clone(),
        client_id: record.client_id.clone(),
        state,
        reason,
        id_token_left_seconds: record
            .id_token
            .as_ref()
            .map(|token| token.exp_seconds.cast_signed().saturating_sub(now_seconds)),
        refreshable: record.refresh_token.is_some() && !is_over,
        failures: record.failures.as_ref().map_or(0, |streak| streak.count),
        generation: record.generation,
        logged_in_ago_seconds: ago_seconds(record.logged_in_at_ms),
        refreshed_ago_seconds: record.refreshed_at_ms.map(ago_seconds),
    }
}

fn unreadable(key: &GrantKey) -> UserRow {
    UserRow {
        grant: key.digest().to_owned(),
        identity: None,
        issuer: String::new(),
        client_id: String::new(),
        state: "unreadable",
        reason: "the record cannot be read or opened: put a sealing key that was taken out back into sealing.previous",
        id_token_left_seconds: None,
        refreshable: false,
        failures: 0,
        generation: 0,
        logged_in_ago_seconds: 0,
        refreshed_ago_seconds: None,
    }
}
