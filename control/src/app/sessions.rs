//! The sessions API: registers, reports and ends sessions. A login is fully verified before anything is stored.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use super::Service;
use crate::activity::{Actor, Event, EventKind, User, Via};
use crate::digest;
use crate::refused::Refused;
use crate::session::{Put, PutError, SessionKey};
use crate::store::StoreError;
use crate::upstream::grant::record::{GrantKey, GrantRecord, GrantState};
use crate::upstream::grant::sign_out::SignOutTime;
use crate::upstream::grant::{Login, LoginSource};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::access_token::GivenAccessToken;
use crate::upstream::issuer::token_type::IdTokenProfile;

/// A login that the aggregator registers.
#[derive(Debug)]
pub(crate) struct Registration {
    /// `iss`.
    pub(crate) issuer: String,
    /// The client that logged the user in.
    pub(crate) client_id: String,
    /// The ID token.
    pub(crate) id_token: SecretString,
    /// The refresh token, if the issuer returned one.
    pub(crate) refresh_token: Option<SecretString>,
    /// The access token, if it was registered.
    pub(crate) access_token: Option<GivenAccessToken>,
    /// Through what the login came here.
    pub(crate) via: Via,
}

/// The state of a session, without its tokens.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct SessionStatus {
    /// `iss` of the login.
    pub(crate) issuer: String,
    /// The client that logged the user in.
    pub(crate) client_id: String,
    /// `active`, `suspect` or `needs_login`.
    pub(crate) state: &'static str,
    /// Grows with each login in the grant: by one, unless the previous record was unreadable.
    pub(crate) generation: u64,
    /// `exp` of the stored ID token, Unix seconds.
    pub(crate) id_token_expires_at: Option<u64>,
    /// Whether the login has a refresh token.
    pub(crate) refreshable: bool,
    /// Why a new login is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

/// Why a login is not registered.
#[derive(Debug)]
pub(crate) enum RegistrationError {
    /// The session id is in use for another user's login: 409.
    Conflict,
    /// Any other refusal.
    Refused(Refused),
}

impl<R: Into<Refused>> From<R> for RegistrationError {
    fn from(refused: R) -> Self {
        Self::Refused(refused.into())
    }
}

impl From<PutError> for RegistrationError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::Store(error) => Self::Refused(error.into()),
            PutError::Conflict => Self::Conflict,
            PutError::SignedOut => Self::Refused(
                Refused::new(Refusal::SubjectRejected)
                    .because("the user signed out after this login was made"),
            ),
        }
    }
}

impl Service {
    /// Registers a login under the session `id`.
    ///
    /// # Errors
    /// [`RegistrationError`]; nothing is changed then, unless the store fails half-way, which a repeated `PUT` repairs.
    pub(crate) async fn put_session(
        &self,
        id: &SecretString,
        registration: &Registration,
    ) -> Result<Put, RegistrationError> {
        let home = self
            .home(&registration.issuer, &registration.client_id)
            .ok_or_else(|| {
                Refused::new(Refusal::BadRequest).because("no such issuer and client_id are configured here")
            })?;
        let token = registration.id_token.expose_secret();
        let (claims, profile) = self.parse_id_token(registration, home)?;
        self.check_age(&claims, registration.refresh_token.is_some())?;
        self.check_access_token(registration, &claims, home)?;
        let verified = home.keys.prove_login(token, &claims).await;
        verified.map_err(Refused::from)?;
        let login = Login {
            id_token: &registration.id_token,
            claims: &claims,
            client_id: &registration.client_id,
            refresh_token: registration.refresh_token.as_ref(),
            access_token: (registration.access_token.as_ref())
                .filter(|given| home.keeps_access_tokens() && given.check_form().is_ok()),
            session_id: profile.session_id.as_deref(),
            refresh_tokens: home.config.refresh_tokens,
            source: LoginSource::Registered {
                is_relayed: home.is_relayed(),
            },
        };
        let session = SessionKey::of_id(id);
        let put = self.sessions.put(&session, &login).await?;
        self.index_user(&put.grant, &registration.id_token).await;
        if put.created || put.is_new_login {
            self.record_login(&session, &put.grant, registration, &claims);
        }
        tracing::debug!(
            session = session.short(),
            created = put.created,
            "session registered"
        );
        Ok(put)
    }

    fn record_login(
        &self,
        session: &SessionKey,
        grant: &GrantKey,
        registration: &Registration,
        claims: &Claims,
    ) {
        self.context.recorder.record(Event {
            issuer: Some(claims.issuer.clone()),
            session: Some(session.short().to_owned()),
            grant: Some(digest::short(grant.digest()).to_owned()),
            via: Some(registration.via),
            ..Event::new(EventKind::Login, self.context.clock.now_ms())
                .verified_user(User::of_token(registration.id_token.expose_secret()))
        });
    }

    /// Parses the ID token of `registration` and checks that it was issued to its client or to a trusted peer. The
    /// signature is not verified here.
    fn parse_id_token(
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
        // Whole seconds: a fraction, which some issuers write, must not decide between two logins.
        claims.issued_at_seconds = profile.issued_at_seconds;
        Ok((claims, profile))
    }

    /// Refuses an access token that is not one of the login, as far as it shows. What the issuer itself gave at a login here is
    /// taken as it is.
    fn check_access_token(
        &self,
        registration: &Registration,
        claims: &Claims,
        home: &HomeIssuer,
    ) -> Result<(), Refused> {
        let Some(given) = registration
            .access_token
            .as_ref()
            .filter(|_| registration.via == Via::Aggregator)
        else {
            return Ok(());
        };
        let own = self.authorization.as_ref().map(|own| own.config.issuer.as_str());
        let login = (claims.issuer.as_str(), claims.subject.as_str());
        given
            .check_login(login, home.config.dialect, own)
            .map_err(|unfit| Refused::new(Refusal::BadRequest).because(format!("access_token: {unfit}")))
    }

    /// Refuses an ID token that expired too long ago. An aggregator that restarts registers the logins that it holds,
    /// and an expired ID token still identifies the user of the refresh token.
    fn check_age(&self, claims: &Claims, refreshable: bool) -> Result<(), Refused> {
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

    /// The state of the session `id`.
    ///
    /// # Errors
    /// [`Refused`]: [`Refusal::UnknownSession`], or the store.
    pub(crate) async fn session_status(&self, id: &SecretString) -> Result<SessionStatus, Refused> {
        let record = self.sessions.grant_record(&SessionKey::of_id(id)).await?;
        let now_ms = self.context.clock.now_ms();
        record
            .and_then(|record| status(&record, now_ms))
            .ok_or_else(|| Refusal::UnknownSession.into())
    }

    /// Ends `session`. An unknown session is no error.
    ///
    /// # Errors
    /// [`Refused`]: the store.
    pub(crate) async fn end_session(
        &self,
        session: &SessionKey,
        actor: impl Into<Actor>,
    ) -> Result<(), Refused> {
        Ok(self.end_and_record(session, actor.into()).await?)
    }

    /// Ends `session`; records it, if it was known.
    pub(super) async fn end_and_record(&self, session: &SessionKey, actor: Actor) -> Result<(), StoreError> {
        // The user can be read only before.
        let grant = self.sessions.grant(session).await?.map(|(grant, _)| grant);
        let user = match &grant {
            Some(grant) => self.grants.user(grant).await,
            None => None,
        };
        self.sessions.end(session).await?;
        if let Some(grant) = grant {
            self.context.recorder.record(Event {
                issuer: user.as_ref().map(|user| user.issuer.clone()),
                session: Some(session.short().to_owned()),
                grant: Some(digest::short(grant.digest()).to_owned()),
                via: Some(actor.via),
                actor: actor.person,
                count: Some(1),
                ..Event::new(EventKind::SignOut, self.context.clock.now_ms()).verified_user(user)
            });
        }
        Ok(())
    }

    /// Ends all sessions of a user, and every login that the user made until `moment`. Returns the number of sessions.
    ///
    /// # Errors
    /// [`Refused`]: the store.
    pub(crate) async fn sign_out(
        &self,
        issuer: &str,
        subject: &str,
        moment: SignOutTime,
        actor: impl Into<Actor>,
    ) -> Result<u64, Refused> {
        let actor = actor.into();
        let homes = self.homes.iter().filter(|home| home.config.issuer == issuer);
        let clients: Vec<&str> = homes.map(|home| home.config.client_id.as_str()).collect();
        let ended = self.sessions.sign_out(issuer, subject, &clients, moment).await?;
        self.record_sign_out(issuer, Some(subject), actor, ended);
        Ok(ended)
    }

    /// Records a sign-out of a user, or of one session at the issuer.
    pub(super) fn record_sign_out(&self, issuer: &str, subject: Option<&str>, actor: Actor, ended: u64) {
        let user = subject.map(|subject| User::new(issuer, subject));
        self.context.recorder.record(Event {
            issuer: Some(issuer.to_owned()),
            via: Some(actor.via),
            actor: actor.person,
            count: Some(ended),
            ..Event::new(EventKind::SignOut, self.context.clock.now_ms()).verified_user(user)
        });
    }
}

fn status(record: &GrantRecord, now_ms: u64) -> Option<SessionStatus> {
    let exp_seconds = record.id_token.as_ref().map(|stored| stored.exp_seconds);
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
