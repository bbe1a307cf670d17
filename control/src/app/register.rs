//! Putting, looking at and ending sessions, with everything checked before anything is kept.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::Service;
use crate::refused::Refused;
use crate::session::{NotPut, Put, SessionKey};
use crate::upstream::grant::Login;
use crate::upstream::grant::record::{GrantRecord, GrantState};
use crate::upstream::grant::sign_out::SignOutTime;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::token_type::IdTokenProfile;

/// A login as the aggregator puts it.
#[derive(Debug)]
pub struct Registration {
    /// The issuer.
    pub issuer: String,
    /// The client that logged the user in.
    pub client_id: String,
    /// The ID token.
    pub id_token: SecretString,
    /// The refresh token, where the issuer gave one.
    pub refresh_token: Option<SecretString>,
}

/// What may be told of a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SessionStatus {
    /// The issuer.
    pub issuer: String,
    /// The client.
    pub client_id: String,
    /// `active`, `suspect` or `needs_login`.
    pub state: &'static str,
    /// Grows with each of the user's logins; by one, unless the record of before could not be read.
    pub generation: u64,
    /// `exp` of the kept ID token, Unix seconds.
    pub id_token_expires_at: Option<u64>,
    /// Whether it can be refreshed at all.
    pub refreshable: bool,
    /// Why a new login is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Why a login is not taken in.
#[derive(Debug)]
pub enum PutRefused {
    /// The session's id is in use for another user's login: 409.
    Taken,
    /// Anything else.
    Refused(Refused),
}

impl<R: Into<Refused>> From<R> for PutRefused {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}

impl From<NotPut> for PutRefused {
    fn from(not_put: NotPut) -> Self {
        match not_put {
            NotPut::Store(error) => Self::Refused(error.into()),
            NotPut::Taken => Self::Taken,
            NotPut::SignedOut => Self::Refused(
                Refused::new(Refusal::SubjectRejected)
                    .because("the user signed out after this login was made"),
            ),
        }
    }
}

impl Service {
    /// Takes a login in under the session `id`.
    ///
    /// # Errors
    /// [`PutRefused`]; nothing was changed then, unless the store failed half-way, which putting it again repairs.
    pub async fn put_session(
        &self,
        id: &SecretString,
        registration: &Registration,
    ) -> Result<Put, PutRefused> {
        let home = self
            .home(&registration.issuer, &registration.client_id)
            .ok_or_else(|| {
                Refused::new(Refusal::BadRequest).because("no such issuer and client_id are configured here")
            })?;
        let token = registration.id_token.expose_secret();
        let (claims, profile) = self.id_token_of(registration, home)?;
        self.not_too_old(&claims, registration.refresh_token.is_some())?;
        let proven = home.keys.prove_login(token, &claims).await;
        proven.map_err(Refused::from)?;
        let login = Login {
            id_token: &registration.id_token,
            claims: &claims,
            client_id: &registration.client_id,
            refresh_token: registration.refresh_token.as_ref(),
            session_id: profile.session_id.as_deref(),
        };
        let session = SessionKey::of_id(id);
        let put = self.sessions.put(&session, &login).await?;
        tracing::debug!(session = session.short(), created = put.created, "session put");
        Ok(put)
    }

    /// What the ID token of `registration` says, if it is one that was issued to its client or to one that is trusted.
    fn id_token_of(
        &self,
        registration: &Registration,
        home: &HomeIssuer,
    ) -> Result<(Claims, IdTokenProfile), Refused> {
        let token = registration.id_token.expose_secret();
        let mut claims =
            Claims::read(token.as_bytes()).map_err(|why| Refused::unreadable("id_token", token, why))?;
        if claims.issuer != registration.issuer {
            return Err(Refused::new(Refusal::WrongIssuer).because("id_token was issued by another issuer"));
        }
        if !claims.audiences.contains(&registration.client_id) {
            return Err(Refused::new(Refusal::WrongAudience).because("client_id is not in id_token's aud"));
        }
        let profile = IdTokenProfile::read(token)?;
        profile.is_issued_to(|party| home.config.trusts(party))?;
        profile.has_begun(self.context.clock.now_ms())?;
        // A fraction of a second that an issuer may write decides nothing.
        claims.issued_at_seconds = profile.issued_at_seconds;
        Ok((claims, profile))
    }

    /// An aggregator that restarted puts what it has: an expired ID token still proves whose refresh token it is.
    fn not_too_old(&self, claims: &Claims, refreshable: bool) -> Result<(), Refused> {
        let now_ms = self.context.clock.now_ms();
        let exp_ms = claims.exp_seconds.saturating_mul(1000);
        if exp_ms > now_ms {
            return Ok(());
        }
        let grace_ms = whole_ms(self.config.stale_subject_grace);
        if !refreshable {
            return Err(Refused::new(Refusal::SubjectRejected)
                .because("id_token has expired and there is no refresh_token"));
        }
        if exp_ms.saturating_add(grace_ms) < now_ms {
            return Err(Refused::new(Refusal::SubjectRejected)
                .because("id_token expired longer ago than stale_subject_grace"));
        }
        Ok(())
    }

    /// What is known of the session `id`.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::UnknownSession`], or the store.
    pub async fn session_status(&self, id: &SecretString) -> Result<SessionStatus, Refused> {
        let record = self.sessions.grant_record(&SessionKey::of_id(id)).await?;
        let now_ms = self.context.clock.now_ms();
        record
            .and_then(|record| status(&record, now_ms))
            .ok_or_else(|| Refusal::UnknownSession.into())
    }

    /// Ends the session `id`; ending what is not known is no error.
    ///
    /// # Errors
    /// [`Refused`]: the store.
    pub async fn end_session(&self, id: &SecretString) -> Result<(), Refused> {
        Ok(self.sessions.end(&SessionKey::of_id(id)).await?)
    }

    /// Ends all sessions of a user, and every login of the user that was made until `moment`.
    ///
    /// # Errors
    /// [`Refused`]: the store.
    pub async fn sign_out(&self, issuer: &str, subject: &str, moment: SignOutTime) -> Result<u64, Refused> {
        let homes = self.homes.iter().filter(|home| home.config.issuer == issuer);
        let clients: Vec<&str> = homes.map(|home| home.config.client_id.as_str()).collect();
        Ok(self.sessions.sign_out(issuer, subject, &clients, moment).await?)
    }
}

fn status(record: &GrantRecord, now_ms: u64) -> Option<SessionStatus> {
    let exp_seconds = record.id_token.as_ref().map(|kept| kept.exp_seconds);
    let refreshable = record.refresh_token.is_some();
    let usable = refreshable || exp_seconds.is_some_and(|exp| exp.saturating_mul(1000) > now_ms);
    let (state, reason) = match record.state {
        GrantState::SignedOut { .. } => return None,
        GrantState::Dead { reason, .. } => ("needs_login", Some(reason.as_str())),
        GrantState::Suspect { .. } => ("suspect", None),
        GrantState::Active if usable => ("active", None),
        GrantState::Active => (
            "needs_login",
            Some("the login came without a refresh token and has expired"),
        ),
    };
    Some(SessionStatus {
        issuer: record.issuer.clone(),
        client_id: record.client_id.clone(),
        state,
        generation: record.generation,
        id_token_expires_at: exp_seconds,
        refreshable,
        reason,
    })
}
