//! Grants: what an issuer gave for (issuer, client, user), shared by all that user's sessions.
//!
//! [`record`] is what is kept; [`decide`], [`login`] and [`takeover`] are the rules and [`attempt`] the one refresh
//! at a time, all pure; `refresh` carries its steps out, `examine` looks at the ID token that comes, and [`rotations`]
//! remembers what a store that goes back in time forgets.

pub mod attempt;
pub mod decide;
mod examine;
pub mod lineage;
pub mod login;
pub mod marks;
mod presenting;
pub mod record;
mod refresh;
pub mod rotations;
pub mod sign_out;
pub mod takeover;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use self::decide::{Decision, Policy, Since, Want, decide, is_fresh};
use self::login::{Admission, NewLogin, Presented, is_signed_out, judge};
use self::record::{
    GrantKey, GrantRecord, GrantState, ID_TOKEN_FIELD, REFRESH_TOKEN_FIELD, StoredIdToken,
    StoredRefreshToken, fingerprint,
};
use self::rotations::Rotations;
use crate::context::Context;
use crate::coordination::singleflight::{FlightOutcome, SingleFlight, Stage};
use crate::digest;
use crate::record::sealed;
use crate::record::unreadable::Notices;
use crate::refused::Refused;
use crate::store::{Expected, Lineage, Revision, StoreError, WriteOutcome};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::revocation::Revocations;
use crate::upstream::local_pauses::LocalPauses;

/// How long a signed-out grant's mark stays: longer than anything that was in flight can take.
pub const SIGNED_OUT_LIFETIME: Duration = Duration::from_secs(3600);

/// A token that may be handed out.
#[derive(Debug, Clone)]
pub struct Served {
    /// The token.
    pub token: SecretString,
    /// Its `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// Its `aud`. Empty for an exchanged token, whose audiences were judged when it was made.
    pub audiences: Vec<String>,
}

/// A login that is put here; its ID token is verified already.
#[derive(Debug)]
pub struct Login<'a> {
    /// The ID token.
    pub id_token: &'a SecretString,
    /// Its claims.
    pub claims: &'a Claims,
    /// The client that it was made for.
    pub client_id: &'a str,
    /// The refresh token that came with it.
    pub refresh_token: Option<&'a SecretString>,
    /// The ID token's `sid`: the issuer's own session that the login belongs to.
    pub session_id: Option<&'a str>,
}

/// Spans of time of [`Grants`].
#[derive(Debug, Clone, Copy)]
pub struct GrantTimes {
    /// Rules of [`decide`].
    pub policy: Policy,
    /// How long a caller waits for a refresh.
    pub caller_deadline: Duration,
    /// How long a refresh whose process died keeps the others waiting; renewed while it lives.
    pub lease_lifetime: Duration,
    /// How long an attempt waits for a lease that somebody else holds.
    pub lease_patience: Duration,
    /// How long an unchanged record is kept.
    pub record_lifetime: Duration,
}

/// All grants.
#[derive(Clone)]
pub struct Grants {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    times: GrantTimes,
    flights: SingleFlight<Result<Served, Refused>>,
    rotations: Arc<Rotations>,
    revocations: Revocations,
    pauses: Arc<LocalPauses>,
    notices: Notices,
}

/// A record as read.
struct Versioned {
    revision: Revision,
    record: GrantRecord,
}

impl Grants {
    /// Grants in the context's store; `rotations` are remembered from the configuration before, and `revocations` give back
    /// what is signed out.
    #[must_use]
    pub fn new(
        context: Context,
        times: GrantTimes,
        rotations: Arc<Rotations>,
        revocations: Revocations,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                notices: Notices::new(Arc::clone(&context.clock)),
                context,
                times,
                flights: SingleFlight::default(),
                rotations,
                revocations,
                pauses: Arc::default(),
            }),
        }
    }

    /// The record of `key`, a signed-out one included.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record(&self, key: &GrantKey) -> Result<Option<GrantRecord>, StoreError> {
        Ok(self.inner.read(key).await?.map(|kept| kept.record))
    }

    /// Whether `key` is known, for a caller that is let in since then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_known(&self, key: &GrantKey, since: Since) -> Result<bool, StoreError> {
        let record = self.record(key).await?;
        Ok(record.is_some_and(|record| !since.is_over(&record)))
    }

    /// The ID token of `key`, refreshed where `reason` asks for it and the record allows it.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn id_token(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        reason: Reason,
        presented: &SecretString,
        since: Since,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let want = Want {
            reason,
            presented_fingerprint: fingerprint(presented),
            since,
        };
        let kept = inner.known(key).await?;
        match decide(
            &kept.record,
            &want,
            &inner.times.policy,
            inner.context.clock.now_ms(),
        ) {
            Decision::Serve => inner.serve(key, &kept.record),
            Decision::Refuse(refused) if !inner.has_forgotten(key, &kept.record) => Err(refused),
            Decision::Refuse(_) | Decision::Refresh => {
                let refreshed = match inner.pauses.check(key.digest(), inner.context.clock.now_ms()) {
                    Ok(()) => self.refreshed(key, issuer, want).await,
                    Err(refused) => Err(refused),
                };
                refreshed.or_else(|refused| inner.fallback(key, &kept.record, reason, refused))
            }
        }
    }

    async fn refreshed(
        &self,
        key: &GrantKey,
        issuer: &Arc<HomeIssuer>,
        want: Want,
    ) -> Result<Served, Refused> {
        let inner = &self.inner;
        let landed = inner
            .flights
            .join(key.digest(), inner.times.caller_deadline, |reporter| {
                refresh::refresh(Arc::clone(inner), key.clone(), Arc::clone(issuer), want, reporter)
            })
            .await;
        match landed {
            FlightOutcome::Done(result) => result,
            FlightOutcome::Deadline(Stage::Asking) | FlightOutcome::Lost => Err(Refusal::Busy.into()),
            FlightOutcome::Deadline(Stage::Keeping) => Err(Refusal::StoreUnavailable.into()),
        }
    }

    /// Takes a login in, also in place of a record that cannot be read. Answers the record after it; `None`: the user has
    /// signed out everywhere since that login, and nothing was changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admit(&self, key: &GrantKey, login: &Login<'_>) -> Result<Option<GrantRecord>, StoreError> {
        let inner = &self.inner;
        let id_token_fingerprint = fingerprint(login.id_token);
        let refresh_fingerprint = login.refresh_token.map(fingerprint);
        let presented = Presented {
            claims: login.claims,
            id_token_fingerprint: &id_token_fingerprint,
            refresh_fingerprint: refresh_fingerprint.as_deref(),
        };
        // Before the write: a login that lands on a later line is then known not to be proven there.
        let lineage = inner.context.store.lineage(&key.record()).await?;
        loop {
            let kept = match inner.found(key).await? {
                Ok(kept) => kept,
                Err(unread) => match inner.supersede(key, login, unread).await? {
                    Some(record) => return Ok(Some(record)),
                    None => continue,
                },
            };
            if (kept.as_ref()).is_some_and(|kept| is_signed_out(&kept.record, presented)) {
                return Ok(None);
            }
            let admission = judge(kept.as_ref().map(|kept| &kept.record), presented);
            let record = match (admission, &kept) {
                (Admission::Known, Some(kept)) => match inner.sealed_anew(key, login, &kept.record)? {
                    Some(record) => record,
                    None => return Ok(Some(kept.record.clone())),
                },
                (Admission::NewerIdToken, Some(kept)) => GrantRecord {
                    id_token: Some(inner.sealed_id_token(key, login.id_token, login.claims)?),
                    ..(inner.sealed_anew(key, login, &kept.record)?).unwrap_or_else(|| kept.record.clone())
                },
                _ => {
                    let kept = kept.as_ref().map(|kept| &kept.record);
                    inner.new_generation(key, login, kept, lineage.clone())?
                }
            };
            let expected = (kept.as_ref()).map_or(Expected::Absent, |kept| Expected::At(kept.revision));
            if let WriteOutcome::Done(_) = inner.write(key, expected, &record).await? {
                if let Some(before) = &kept {
                    inner.tell_of_lost(key, &before.record, &record);
                }
                if admission == Admission::NewLogin {
                    tracing::info!(
                        grant = digest::short(key.digest()),
                        generation = record.generation,
                        "a new login is kept"
                    );
                }
                return Ok(Some(record));
            }
        }
    }

    /// How long an unchanged record is kept.
    #[must_use]
    pub fn record_lifetime(&self) -> Duration {
        self.inner.times.record_lifetime
    }

    /// Waits until no refresh is under way, and no refresh token is being given back.
    pub async fn landed(&self) {
        self.inner.flights.landed().await;
        self.inner.revocations.landed().await;
    }
}

impl Inner {
    async fn read(&self, key: &GrantKey) -> Result<Option<Versioned>, StoreError> {
        self.found(key).await?.map_err(|unread| unread.error)
    }

    /// A record that is there and not signed out.
    async fn known(&self, key: &GrantKey) -> Result<Versioned, Refused> {
        self.read(key)
            .await?
            .filter(|kept| !matches!(kept.record.state, GrantState::SignedOut { .. }))
            .ok_or_else(|| Refusal::UnknownSession.into())
    }

    async fn write(
        &self,
        key: &GrantKey,
        expected: Expected,
        record: &GrantRecord,
    ) -> Result<WriteOutcome, StoreError> {
        self.context
            .store
            .write(
                &key.record(),
                expected,
                &record.to_bytes()?,
                Some(self.times.record_lifetime),
            )
            .await
    }

    /// Whether the store has lost what this replica wrote after `record`.
    fn has_forgotten(&self, key: &GrantKey, record: &GrantRecord) -> bool {
        let now_ms = self.context.clock.now_ms();
        self.rotations.after(key, record, now_ms).is_some()
    }

    fn serve(&self, key: &GrantKey, record: &GrantRecord) -> Result<Served, Refused> {
        let kept = record.id_token.as_ref().ok_or(Refusal::Busy)?;
        Ok(Served {
            token: sealed::open(&self.context.ring, &key.record(), ID_TOKEN_FIELD, &kept.sealed)?,
            exp_seconds: kept.exp_seconds,
            audiences: kept.audiences.clone(),
        })
    }

    /// A refresh ahead of time that failed loses nothing: the kept token is good until its last moment.
    fn fallback(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        reason: Reason,
        refused: Refused,
    ) -> Result<Served, Refused> {
        let now_ms = self.context.clock.now_ms();
        let margin = self.times.policy.margin;
        let good = record
            .id_token
            .as_ref()
            .is_some_and(|kept| is_fresh(kept.exp_seconds, margin, now_ms));
        if reason != Reason::Rejected && good && refused.refusal != Refusal::UnknownSession {
            self.serve(key, record)
        } else {
            Err(refused)
        }
    }

    fn sealed_id_token(
        &self,
        key: &GrantKey,
        token: &SecretString,
        claims: &Claims,
    ) -> Result<StoredIdToken, StoreError> {
        Ok(StoredIdToken {
            sealed: sealed::seal(&self.context.ring, &key.record(), ID_TOKEN_FIELD, token)?,
            fingerprint: fingerprint(token),
            exp_seconds: claims.exp_seconds,
            issued_at_seconds: claims.issued_at_seconds,
            audiences: claims.audiences.clone(),
        })
    }

    fn sealed_refresh_token(
        &self,
        key: &GrantKey,
        token: &SecretString,
    ) -> Result<StoredRefreshToken, StoreError> {
        debug_assert!(!token.expose_secret().is_empty());
        Ok(StoredRefreshToken {
            sealed: sealed::seal(&self.context.ring, &key.record(), REFRESH_TOKEN_FIELD, token)?,
            fingerprint: fingerprint(token),
        })
    }

    fn new_generation(
        &self,
        key: &GrantKey,
        login: &Login<'_>,
        kept: Option<&GrantRecord>,
        lineage: Option<Lineage>,
    ) -> Result<GrantRecord, StoreError> {
        let login = NewLogin {
            lineage,
            issuer: login.claims.issuer.clone(),
            client_id: login.client_id.to_owned(),
            id_token: self.sealed_id_token(key, login.id_token, login.claims)?,
            refresh_token: login
                .refresh_token
                .map(|token| self.sealed_refresh_token(key, token))
                .transpose()?,
        };
        Ok(login.supersedes(kept, self.context.clock.now_ms()))
    }
}
