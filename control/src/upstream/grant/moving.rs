//! A login that a client's refresh has made known moves into the user's grant.
//!
//! The order makes every step repeatable, and keeps two records from presenting one refresh token: the login's own record
//! is closed first ([`Origin::Moved`]), on the very revision whose tokens are then written into the user's grant; the
//! index follows; only then is anything served. A caller that finds a closed record finishes the move. Closed is final: if the
//! user's grant has changed meanwhile and has no place for the login, the login ends.

use tokenward_protocol::jwt::Claims;

use super::attach::{Attachment, MovedTokens, attached, attachment, attachment_of_login};
use super::owners::HeldToken;
use super::record::{
    Extras, GrantKey, GrantRecord, GrantState, ID_TOKEN_FIELD, OfUser, REFRESH_TOKEN_FIELD, RESPONSE_FIELD,
    VersionedGrant,
};
use super::relayed::{Origin, Relayed, StoredResponse};
use super::takeover::unresolved;
use super::{Grants, Inner};
use crate::config::RefreshTokens;
use crate::failpoint;
use crate::record::sealed;
use crate::store::{Expected, StoreError, WriteOutcome};
use crate::upstream::issuer::HomeIssuer;

/// Where the tokens of a login are after [`Grants::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// In the record that was asked for.
    Here,
    /// In the user's own grant, or still on their way: the index shows where.
    Elsewhere,
}

/// What a finished move has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moving {
    Done,
    Overtaken,
}

impl Grants {
    /// Attaches the login of `key` to its user's grant, as far as that is known and has a place for it. Idempotent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn settle(&self, home: &HomeIssuer, key: &GrantKey) -> Result<Settled, StoreError> {
        let inner = &self.inner;
        loop {
            let Some(stored) = inner.read(key).await? else {
                return Ok(Settled::Elsewhere);
            };
            match &stored.record.relayed.origin {
                Origin::Registered | Origin::Learned => return Ok(Settled::Here),
                Origin::Presented | Origin::Apart { .. } => {}
                Origin::Moved { user } => {
                    let user = GrantKey::from_digest(user.clone());
                    if inner.finish_move(home, key, &stored, &user).await? == Moving::Done {
                        return Ok(Settled::Elsewhere);
                    }
                    continue;
                }
            }
            let Some(user) = inner.user_of(key, &stored.record)? else {
                return Ok(Settled::Here);
            };
            let of_user = inner.read(&user).await?.map(|stored| stored.record);
            if home.config.refresh_tokens == RefreshTokens::PerLogin {
                match inner.settle_apart(key, &stored, &user, of_user.as_ref()).await? {
                    Some(settled) => return Ok(settled),
                    None => continue,
                }
            }
            let origin = match attachment(of_user.as_ref(), &stored.record, home.config.policy) {
                Attachment::SignedOut => {
                    inner.end_chain(key, &stored).await?;
                    return Ok(Settled::Elsewhere);
                }
                Attachment::Apart => Origin::Apart {
                    user: user.digest().to_owned(),
                    sign_outs: of_user.map_or(0, |record| record.sign_outs),
                },
                // Its own attempt is under way; what it brings is moved with the rest.
                _ if unresolved(&stored.record).is_some() => return Ok(Settled::Elsewhere),
                Attachment::SameLogin | Attachment::NewLogin { .. } => Origin::Moved {
                    user: user.digest().to_owned(),
                },
            };
            let is_apart = matches!(origin, Origin::Apart { .. });
            if is_apart && matches!(stored.record.relayed.origin, Origin::Apart { .. }) {
                return Ok(Settled::Here);
            }
            let mut record = stored.record;
            record.relayed.origin = origin;
            failpoint::reached("before", "move");
            let written = inner.write(key, Expected::At(stored.revision), &record).await?;
            failpoint::reached("after", "move");
            if is_apart && matches!(written, WriteOutcome::Done(_)) {
                inner.context.metrics.relay.login(&record.issuer, "kept_apart");
                return Ok(Settled::Here);
            }
        }
    }
}

impl Inner {
    /// Settles a login at an issuer with a refresh token for each login: its record becomes one of the user's. `None`: it was
    /// changed meanwhile, or moves into the user's own grant, which holds it from the time before.
    async fn settle_apart(
        &self,
        key: &GrantKey,
        stored: &VersionedGrant,
        user: &GrantKey,
        of_user: Option<&GrantRecord>,
    ) -> Result<Option<Settled>, StoreError> {
        let mut record = stored.record.clone();
        let has_login_since = match of_user {
            Some(of_user) if matches!(of_user.state, GrantState::SignedOut { .. }) => {
                self.has_live_login(user, of_user).await?
            }
            _ => false,
        };
        match attachment_of_login(of_user, &record, has_login_since) {
            Attachment::SignedOut => {
                self.end_chain(key, stored).await?;
                return Ok(Some(Settled::Elsewhere));
            }
            Attachment::SameLogin | Attachment::NewLogin { .. } if unresolved(&record).is_some() => {
                return Ok(Some(Settled::Elsewhere));
            }
            Attachment::SameLogin | Attachment::NewLogin { .. } => {
                record.relayed.origin = Origin::Moved {
                    user: user.digest().to_owned(),
                };
                self.write(key, Expected::At(stored.revision), &record).await?;
                return Ok(None);
            }
            Attachment::Apart => {}
        }
        let then = record.whose().map(|(_, sign_outs)| sign_outs);
        record.extras.of_user = Some(OfUser {
            user: user.digest().to_owned(),
            sign_outs: then.unwrap_or(of_user.map_or(0, |record| record.sign_outs)),
        });
        record.relayed.origin = Origin::Learned;
        let written = self.write(key, Expected::At(stored.revision), &record).await?;
        if !matches!(written, WriteOutcome::Done(_)) {
            return Ok(None);
        }
        self.index_login(user, key, &record, None).await?;
        self.context.metrics.relay.login(&record.issuer, "kept_apart");
        Ok(Some(Settled::Here))
    }

    /// Writes the tokens of the closed record `chain` into the grant of `user`, and has the index lead there.
    async fn finish_move(
        &self,
        home: &HomeIssuer,
        key: &GrantKey,
        chain: &VersionedGrant,
        user: &GrantKey,
    ) -> Result<Moving, StoreError> {
        let newest = chain
            .record
            .refresh_token
            .as_ref()
            .map(|token| &token.fingerprint);
        if newest.is_none() {
            // It has arrived.
            return Ok(Moving::Done);
        }
        let stored = self.read(user).await?;
        let of_user = stored.as_ref().map(|stored| &stored.record);
        let has_arrived =
            of_user.is_some_and(|record| newest.is_some_and(|newest| record.is_of_chain(newest)));
        if !has_arrived {
            let attachment = attachment(of_user, &chain.record, home.config.policy);
            let tokens = self.tokens_for(key, user, &chain.record)?;
            let (Attachment::SameLogin | Attachment::NewLogin { .. }, Some(tokens)) = (attachment, tokens)
            else {
                self.end_chain(key, chain).await?;
                return Ok(Moving::Done);
            };
            let is_same = attachment == Attachment::SameLogin;
            let now_ms = self.context.clock.now_ms();
            let record = attached(of_user, &chain.record, tokens, is_same, now_ms);
            let expected = stored
                .as_ref()
                .map_or(Expected::Absent, |stored| Expected::At(stored.revision));
            failpoint::reached("before", "attach");
            if let WriteOutcome::Conflict(_) = self.write(user, expected, &record).await? {
                return Ok(Moving::Overtaken);
            }
            failpoint::reached("after", "attach");
            self.on_attached(&record, attachment).await;
        }
        for fingerprint in chain.record.relayed.chain.iter().chain(newest) {
            let token = HeldToken {
                issuer: &chain.record.issuer,
                client_id: &chain.record.client_id,
                fingerprint,
            };
            self.set_owner(token, user, Expected::Any).await?;
            failpoint::reached("after", "lead");
        }
        // A caller that looked the token up before still finds that it has moved, until the record expires.
        let moved = GrantRecord {
            id_token: None,
            refresh_token: None,
            relayed: Relayed {
                response: None,
                ..chain.record.relayed.clone()
            },
            extras: Extras {
                access_token: None,
                ..chain.record.extras.clone()
            },
            ..chain.record.clone()
        };
        self.write(key, Expected::At(chain.revision), &moved).await?;
        Ok(Moving::Done)
    }

    async fn on_attached(&self, record: &GrantRecord, attachment: Attachment) {
        let metrics = &self.context.metrics.relay;
        if attachment
            == (Attachment::NewLogin {
                rotated_elsewhere: true,
            })
        {
            metrics.login(&record.issuer, "rotated_elsewhere");
            self.note_bypass(&record.issuer).await;
        } else {
            metrics.login(&record.issuer, "attached");
        }
    }

    /// Ends the login of a record that is named by a refresh token. Clients that present its tokens find that it has ended.
    pub(super) async fn end_chain(&self, key: &GrantKey, chain: &VersionedGrant) -> Result<(), StoreError> {
        let revocable = self.revocable(key, &chain.record);
        let record = super::sign_out::ended(&chain.record, self.context.clock.now_ms());
        if self
            .write_marker(key, Expected::At(chain.revision), &record)
            .await?
        {
            self.give_back(key, &chain.record, revocable).await;
            self.index_end_of(key, &chain.record).await?;
        }
        Ok(())
    }

    /// The key of the grant of the user that the ID token of `record` names; `None` without an ID token.
    pub(super) fn user_of(
        &self,
        key: &GrantKey,
        record: &GrantRecord,
    ) -> Result<Option<GrantKey>, StoreError> {
        let Some(token) = &record.id_token else {
            return Ok(None);
        };
        let ring = &self.context.ring;
        let token = sealed::open(ring, &key.record(), ID_TOKEN_FIELD, &token.sealed)?;
        let claims = Claims::read(secrecy::ExposeSecret::expose_secret(&token).as_bytes());
        // It was read before it was stored.
        Ok(claims
            .ok()
            .map(|claims| GrantKey::new(&record.issuer, &record.client_id, &claims.subject)))
    }

    /// The tokens of the record of `from`, sealed for the record of `to`; `None` if it has not both of them.
    fn tokens_for(
        &self,
        from: &GrantKey,
        to: &GrantKey,
        record: &GrantRecord,
    ) -> Result<Option<MovedTokens>, StoreError> {
        let ring = &self.context.ring;
        let again = |field: &str, sealed| {
            let token = sealed::open(ring, &from.record(), field, sealed)?;
            sealed::seal(ring, &to.record(), field, &token)
        };
        let (Some(id_token), Some(refresh_token)) = (record.id_token.clone(), record.refresh_token.clone())
        else {
            return Ok(None);
        };
        let response = record.relayed.response.as_ref().map(|response| {
            Ok::<_, StoreError>(StoredResponse {
                sealed: again(RESPONSE_FIELD, &response.sealed)?,
                ..response.clone()
            })
        });
        Ok(Some(MovedTokens {
            id_token: super::record::StoredIdToken {
                sealed: again(ID_TOKEN_FIELD, &id_token.sealed)?,
                ..id_token
            },
            refresh_token: super::record::StoredRefreshToken {
                sealed: again(REFRESH_TOKEN_FIELD, &refresh_token.sealed)?,
                ..refresh_token
            },
            response: response.transpose()?,
        }))
    }
}
