//! What callers get of a grant: its ID token or access token, or the record with the token response, refreshed if necessary.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;
use tokio::time::Instant;

use super::decide::{Decision, Want, decide, of_streak};
use super::record::{GrantKey, GrantRecord, ID_TOKEN_FIELD};
use super::refresh::{Flown, NotRefreshed, Refreshed, refresh};
use super::{Grants, Inner, Served};
use crate::coordination::singleflight::{FlightOutcome, FlightStage};
use crate::record::sealed;
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::proven_tokens::TokenDigest;
use crate::upstream::local_pauses::PauseReason;
use crate::upstream::token_kind::TokenKind;

/// Flights that a caller joins: one that was under way may have served another demand, and the caller's own is the second.
const MAX_FLIGHTS: usize = 3;

impl Grants {
    /// The ID token of `key`, refreshed if `reason` requires it and the record allows it.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn id_token(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        reason: Reason,
        presented: TokenDigest,
        entitlement: Entitlement,
    ) -> Result<Served, Refused> {
        let want = Want::id_token(reason, presented.fingerprint(), entitlement);
        self.token(key, issuer, (TokenKind::IdToken, reason), &want).await
    }

    /// The access token of `key`, refreshed if `reason` requires it and the record allows it; the refresh brings a new ID
    /// token too. Only of an issuer that keeps them ([`HomeIssuer::keeps_access_tokens`]).
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn access_token(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        reason: Reason,
        entitlement: Entitlement,
    ) -> Result<Served, Refused> {
        let want = Want::access_token(reason, entitlement);
        self.token(key, issuer, (TokenKind::AccessToken, reason), &want)
            .await
    }

    async fn token(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        (kind, reason): (TokenKind, Reason),
        want: &Want,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let stored = inner.read_active(key).await?;
        match decide(
            &stored.record,
            want,
            &inner.times.policy,
            inner.context.clock.now_ms(),
        ) {
            Decision::Serve => inner.serve(key, &stored.record, kind),
            Decision::Refuse(refused) if !inner.store_lost_rotation(key, &stored.record) => Err(refused),
            Decision::Refuse(_) | Decision::Refresh => {
                let is_new_to_relay = issuer.is_relayed() && stored.record.relayed.chain.is_empty();
                if is_new_to_relay && !inner.adopt(key, &stored).await? {
                    return Err(Refused::new(Refusal::Busy).retry_after(Duration::from_secs(1)));
                }
                let now_ms = inner.context.clock.now_ms();
                let refreshed = match inner.pauses.check(&paused(key, kind), now_ms) {
                    Ok(()) => self.fresh_token(key, issuer, want, kind).await,
                    Err(refused) => Err(refused),
                };
                refreshed.or_else(|refused| inner.fallback(key, &stored.record, (kind, reason), refused))
            }
        }
    }

    async fn fresh_token(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        want: &Want,
        kind: TokenKind,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let deadline = inner.times.caller_deadline;
        let flown = self.refreshed(key, issuer, want, deadline).await;
        let Refreshed {
            record,
            is_stale_on_arrival,
            ..
        } = flown.map_err(|not_refreshed| not_refreshed.refused)?;
        inner.check_user(key, &record).await?;
        let now_ms = inner.context.clock.now_ms();
        match &record.failures {
            _ if inner.is_fresh(&record, kind) => {}
            _ if is_stale_on_arrival => {
                return Err(inner.pauses.stale_on_arrival(&paused(key, kind), now_ms));
            }
            // A client's refresh, whose answer has no ID token that a server could use.
            Some(streak) if kind == TokenKind::IdToken || record.access_token().is_none() => {
                return Err(of_streak(streak));
            }
            _ if kind == TokenKind::AccessToken => {
                let why = why_no_access_token(&record, inner.times.policy.margin);
                return Err(inner.pauses.pause(&paused(key, kind), why, now_ms));
            }
            _ => {}
        }
        inner.serve(key, &record, kind)
    }

    /// The record of `key` with what `want` demands, in at most `deadline`. A flight under way is joined, whatever it was
    /// started for: it is the only refresh of this login.
    pub(super) async fn refreshed(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        want: &Want,
        deadline: Duration,
    ) -> Flown {
        let inner = &self.inner;
        let until = Instant::now() + deadline;
        for _ in 0..MAX_FLIGHTS {
            let left = until.saturating_duration_since(Instant::now());
            let flight = |reporter| {
                refresh(
                    Arc::clone(inner),
                    key.clone(),
                    Arc::clone(issuer),
                    want.clone(),
                    reporter,
                )
            };
            let refreshed = match inner.flights.join(key.digest(), left, flight).await {
                FlightOutcome::Done(flown) => flown?,
                FlightOutcome::Deadline(FlightStage::Issuer) | FlightOutcome::Lost => {
                    return Err(Refusal::Busy.into());
                }
                FlightOutcome::Deadline(FlightStage::Store) => {
                    return Err(Refusal::StoreUnavailable.into());
                }
            };
            let now_ms = inner.context.clock.now_ms();
            match decide(&refreshed.record, want, &inner.times.policy, now_ms) {
                _ if refreshed.is_new => return Ok(refreshed),
                Decision::Serve => return Ok(refreshed),
                Decision::Refuse(refused) => return Err(refused.into()),
                Decision::Refresh => {}
            }
        }
        Err(Refusal::Busy.into())
    }

    /// The record of `key` with a token response for the client that presented the refresh token `presented`; `stored` is
    /// the record as it was read.
    ///
    /// # Errors
    /// [`NotRefreshed`].
    pub(crate) async fn response_record(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        stored: GrantRecord,
        presented: &str,
    ) -> Result<ResponseRecord, NotRefreshed> {
        let inner = &self.inner;
        let want = Want::response(presented);
        let now_ms = inner.context.clock.now_ms();
        match decide(&stored, &want, &inner.times.policy, now_ms) {
            Decision::Serve => {
                return Ok(ResponseRecord {
                    record: Arc::new(stored),
                    is_new: false,
                });
            }
            Decision::Refuse(refused) if !inner.store_lost_rotation(key, &stored) => {
                return Err(refused.into());
            }
            Decision::Refuse(_) | Decision::Refresh => {}
        }
        // The caller's own deadline is the relay's, which does not end this wait: what comes later must be stored too.
        let deadline = inner.times.lease_patience * 2;
        match self.refreshed(key, issuer, &want, deadline).await {
            Ok(refreshed) => Ok(ResponseRecord {
                record: refreshed.record,
                is_new: refreshed.is_new,
            }),
            Err(not_refreshed) => self.response_instead(stored, presented, not_refreshed),
        }
    }

    /// The stored response while it is fresh, whatever failed: only the end of the login is its end. The client that
    /// presented the newest refresh token has it already, and learns of the failure.
    fn response_instead(
        &self,
        stored: GrantRecord,
        presented: &str,
        not_refreshed: NotRefreshed,
    ) -> Result<ResponseRecord, NotRefreshed> {
        let inner = &self.inner;
        let (margin, now_ms) = (inner.times.policy.margin, inner.context.clock.now_ms());
        let has_ended = matches!(
            not_refreshed.refused.refusal,
            Refusal::NeedsLogin | Refusal::UnknownSession
        );
        let is_fresh = (stored.usable_response()).is_some_and(|response| response.is_fresh(margin, now_ms));
        if !has_ended && is_fresh && !stored.has_newest(presented) {
            return Ok(ResponseRecord {
                record: Arc::new(stored),
                is_new: false,
            });
        }
        Err(not_refreshed)
    }
}

/// A record whose token response answers a client.
#[derive(Debug, Clone)]
pub(crate) struct ResponseRecord {
    pub(crate) record: Arc<GrantRecord>,
    /// Whether the issuer was called for it.
    pub(crate) is_new: bool,
}

impl Inner {
    /// Whether the store has lost what this replica wrote after `record`.
    fn store_lost_rotation(&self, key: &GrantKey, record: &GrantRecord) -> bool {
        let now_ms = self.context.clock.now_ms();
        self.rotations.lost_by_store(key, record, now_ms).is_some()
    }

    pub(super) fn serve(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        kind: TokenKind,
    ) -> Result<Served, Refused> {
        match kind {
            TokenKind::IdToken => self.serve_id_token(key, record),
            TokenKind::AccessToken => self.serve_access_token(key, record),
        }
    }

    /// Whether the record's token of this kind is fresh.
    fn is_fresh(&self, record: &GrantRecord, kind: TokenKind) -> bool {
        let (margin, now_ms) = (self.times.policy.margin, self.context.clock.now_ms());
        let exp_seconds = match kind {
            TokenKind::IdToken => record.id_token.as_ref().map(|token| token.exp_seconds),
            TokenKind::AccessToken => record.access_token().map(|token| token.exp_seconds),
        };
        exp_seconds.is_some_and(|exp_seconds| is_fresh(exp_seconds, margin, now_ms))
    }

    pub(super) fn serve_id_token(&self, key: &GrantKey, record: &GrantRecord) -> Result<Served, Refused> {
        let stored = record.id_token.as_ref().ok_or(Refusal::Busy)?;
        Ok(Served {
            kind: TokenKind::IdToken,
            token: sealed::open(&self.context.ring, &key.record(), ID_TOKEN_FIELD, &stored.sealed)?,
            exp_seconds: stored.exp_seconds,
            usable_until_seconds: stored.exp_seconds,
            audiences: stored.audiences.clone(),
        })
    }

    /// A failed refresh ahead of time loses nothing: the stored token can be served until it is stale.
    fn fallback(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        (kind, reason): (TokenKind, Reason),
        refused: Refused,
    ) -> Result<Served, Refused> {
        let is_good = self.is_fresh(record, kind);
        if reason != Reason::Rejected && is_good && refused.refusal != Refusal::UnknownSession {
            self.serve(key, record, kind)
        } else {
            Err(refused)
        }
    }
}

/// The name under which this replica pauses refreshes of `key` for tokens of this kind: a login without a usable access token
/// may have a good ID token.
fn paused(key: &GrantKey, kind: TokenKind) -> String {
    match kind {
        TokenKind::IdToken => key.digest().to_owned(),
        TokenKind::AccessToken => format!("access_token:{}", key.digest()),
    }
}

/// Why a refresh that succeeded brought no access token that can be used.
fn why_no_access_token(record: &GrantRecord, margin: Duration) -> PauseReason {
    match record.access_token() {
        None => PauseReason::NoAccessToken,
        Some(token) if token.is_never_fresh(margin) => PauseReason::ShortAccessToken,
        Some(_) => PauseReason::Clock,
    }
}
