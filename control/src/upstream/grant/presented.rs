//! A refresh token that a client presents: which record it belongs to, and the response that the client receives.

use secrecy::SecretString;
use tokenward_protocol::refusal::Refusal;

use super::owners::{CLAIM_TIME, HeldToken};
use super::record::{
    Extras, FORMAT, GrantKey, GrantRecord, GrantState, ID_TOKEN_FIELD, REFRESH_TOKEN_FIELD, RESPONSE_FIELD,
    VersionedGrant,
};
use super::relayed::{IssuerWords, Origin, Relayed};
use super::{Grants, Inner};
use crate::config::IssuerPolicy;
use crate::failpoint;
use crate::record::sealed;
use crate::refused::Refused;
use crate::store::{Expected, StoreError, WriteOutcome};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::answer::response::TokenResponse;

/// Attempts to find the record of a token while others change it.
const MAX_ROUNDS: usize = 8;

/// What is known of a presented refresh token.
#[derive(Debug)]
pub(crate) enum PresentedToken {
    /// This record presents it.
    Of(GrantKey, Box<GrantRecord>),
    /// Its login has ended; the issuer's own words, if it was the issuer that ended it.
    Ended(Option<IssuerWords>),
}

/// The outcome of [`Grants::hand_out`].
#[derive(Debug)]
pub(crate) enum HandedOut {
    /// The client receives this.
    Response(TokenResponse),
    /// The record was changed meanwhile.
    Overtaken,
    /// The record has no response that could be handed out.
    Nothing,
}

impl Grants {
    /// The record that presents the refresh token `token`, which a client of `home` presented. For an unknown token, a record
    /// named by it is created.
    ///
    /// # Errors
    /// [`Refused`]: the store; [`Refusal::Busy`] while the login is being stored.
    pub(crate) async fn of_presented(
        &self,
        home: &HomeIssuer,
        fingerprint: &str,
        token: &SecretString,
    ) -> Result<PresentedToken, Refused> {
        let inner = &self.inner;
        let held = HeldToken {
            issuer: &home.config.issuer,
            client_id: &home.config.client_id,
            fingerprint,
        };
        let own = held.own_key();
        for _ in 0..MAX_ROUNDS {
            let Some(owner) = inner.owner(held).await? else {
                let known = inner
                    .rotations
                    .grant_with(fingerprint)
                    .filter(|_| home.is_relayed());
                let grant = known.unwrap_or_else(|| own.clone());
                failpoint::reached("before", "index");
                inner.set_owner(held, &grant, Expected::Absent).await?;
                failpoint::reached("after", "index");
                continue;
            };
            let stored = inner.read(&owner.grant).await?;
            match stored {
                Some(stored) if matches!(stored.record.relayed.origin, Origin::Moved { .. }) => {
                    self.settle(home, &owner.grant).await?;
                }
                Some(stored) if inner.holds(held, &owner.grant, &stored.record) => {
                    return self.of_holder(owner.grant, stored).await;
                }
                Some(stored) if is_used_up(&stored.record, fingerprint, home.config.policy) => {
                    return Ok(PresentedToken::Ended(None));
                }
                None if owner.grant == own && owner.is_recent(inner.context.clock.now_ms()) => {
                    inner.create_presented(held, &own, token).await?;
                }
                // The chain of its own record has become longer than its capacity.
                Some(_) if owner.grant == own => return Ok(PresentedToken::Ended(None)),
                _ if owner.grant != own && owner.is_recent(inner.context.clock.now_ms()) => {
                    return Err(Refused::new(Refusal::Busy)
                        .because("the login of this refresh token is being stored")
                        .retry_after(CLAIM_TIME / 10));
                }
                _ => {
                    inner.set_owner(held, &own, Expected::At(owner.revision)).await?;
                }
            }
        }
        Err(Refusal::Busy.into())
    }

    async fn of_holder(&self, key: GrantKey, stored: VersionedGrant) -> Result<PresentedToken, Refused> {
        let record = stored.record.clone();
        if matches!(record.state, GrantState::SignedOut { .. }) {
            return Ok(PresentedToken::Ended(None));
        }
        if self.inner.is_over_with_user(&record).await? {
            self.inner.end_chain(&key, &stored).await?;
            return Ok(PresentedToken::Ended(None));
        }
        Ok(PresentedToken::Of(key, Box::new(record)))
    }

    /// The response of `record` for a client that presented the refresh token `presented`. The token that the client
    /// receives is known as held by it before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn hand_out(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
        presented: Option<&str>,
    ) -> Result<HandedOut, StoreError> {
        let inner = &self.inner;
        let Some(stored) = inner.read(key).await? else {
            return Ok(HandedOut::Overtaken);
        };
        let is_same = stored.record.generation == record.generation
            && stored.record.state == record.state
            && stored.record.refresh_token == record.refresh_token
            && presented.is_none_or(|presented| stored.record.is_of_chain(presented));
        if !is_same || inner.is_over_with_user(&stored.record).await? {
            return Ok(HandedOut::Overtaken);
        }
        let Some(response) = inner.response(key, &stored.record)? else {
            return Ok(HandedOut::Nothing);
        };
        let Some(newest) = stored
            .record
            .refresh_token
            .as_ref()
            .map(|token| token.fingerprint.clone())
        else {
            return Ok(HandedOut::Nothing);
        };
        let mut held = stored.record.clone();
        let dropped = held.relayed.hand_out(&newest);
        if held != stored.record {
            let written = inner.write(key, Expected::At(stored.revision), &held).await?;
            if let WriteOutcome::Conflict(_) = written {
                return Ok(HandedOut::Overtaken);
            }
        }
        failpoint::reached("before", "hand_out");
        let token = HeldToken {
            issuer: &held.issuer,
            client_id: &held.client_id,
            fingerprint: &newest,
        };
        inner.lead_to(token, key).await?;
        failpoint::reached("after", "hand_out");
        if held != stored.record {
            inner.extend_in_index(key, &held).await?;
        }
        inner.drop_owners(&held, key, &dropped).await;
        Ok(HandedOut::Response(response))
    }
}

/// Whether a client's token was used up in a login that `record` superseded. At an issuer that punishes reuse it is not
/// presented; any other issuer decides itself.
fn is_used_up(record: &GrantRecord, fingerprint: &str, policy: IssuerPolicy) -> bool {
    let is_retired = record.retired.iter().any(|retired| retired == fingerprint);
    let has_ended = matches!(record.state, GrantState::SignedOut { .. });
    is_retired && (has_ended || policy == IssuerPolicy::Strict)
}

impl Inner {
    /// Whether `record` holds the token, or held it before the store lost what this replica wrote.
    fn holds(&self, token: HeldToken<'_>, key: &GrantKey, record: &GrantRecord) -> bool {
        let now_ms = self.context.clock.now_ms();
        token.is_of(record)
            && (record.is_of_chain(token.fingerprint)
                || (self.rotations.lost_by_store(key, record, now_ms))
                    .is_some_and(|rotation| rotation.holds(token.fingerprint)))
    }

    /// Creates the record that is named by `token`, of a login whose user is not known yet.
    async fn create_presented(
        &self,
        token: HeldToken<'_>,
        key: &GrantKey,
        secret: &SecretString,
    ) -> Result<(), StoreError> {
        let lineage = self.context.store.lineage(&key.record()).await?;
        let now_ms = self.context.clock.now_ms();
        let record = GrantRecord {
            format: FORMAT,
            issuer: token.issuer.to_owned(),
            client_id: token.client_id.to_owned(),
            generation: 1,
            state: GrantState::Active,
            id_token: None,
            refresh_token: Some(self.sealed_refresh_token(key, secret)?),
            login_fingerprint: Some(token.fingerprint.to_owned()),
            intent: None,
            failures: None,
            sign_outs: 0,
            valid_from_seconds: None,
            lineage,
            retired: Vec::new(),
            logged_in_at_ms: now_ms,
            refreshed_at_ms: None,
            last_used_at_ms: now_ms,
            relayed: Relayed {
                origin: Origin::Presented,
                chain: vec![token.fingerprint.to_owned()],
                ..Relayed::default()
            },
            extras: Extras::default(),
        };
        failpoint::reached("before", "provisional");
        self.write(key, Expected::Absent, &record).await?;
        failpoint::reached("after", "provisional");
        self.context.metrics.relay.login(token.issuer, "unknown");
        Ok(())
    }

    /// Has the index lead from `token` to `key`.
    async fn lead_to(&self, token: HeldToken<'_>, key: &GrantKey) -> Result<(), StoreError> {
        match self.owner(token).await? {
            Some(owner) if owner.grant == *key => Ok(()),
            _ => self.set_owner(token, key, Expected::Any).await.map(drop),
        }
    }

    /// The token response of `record`, with the times of this moment.
    fn response(&self, key: &GrantKey, record: &GrantRecord) -> Result<Option<TokenResponse>, StoreError> {
        let Some(usable) = record.usable_response() else {
            return Ok(None);
        };
        let ring = &self.context.ring;
        let open = |field: &str, sealed| sealed::open(ring, &key.record(), field, sealed);
        let id_token = (record.id_token.as_ref()).filter(|_| usable.stored.id_token_fingerprint.is_some());
        let now_ms = self.context.clock.now_ms();
        Ok(Some(TokenResponse {
            id_token: id_token
                .map(|token| open(ID_TOKEN_FIELD, &token.sealed))
                .transpose()?,
            refresh_token: (record.refresh_token.as_ref())
                .map(|token| open(REFRESH_TOKEN_FIELD, &token.sealed))
                .transpose()?,
            expires_in_seconds: (usable.stored.access_expires_at_ms)
                .map(|until_ms| until_ms.saturating_sub(now_ms) / 1000),
            others: open(RESPONSE_FIELD, &usable.stored.sealed)?,
        }))
    }
}
