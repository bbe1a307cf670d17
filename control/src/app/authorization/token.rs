//! The token endpoint: a code for a login's first tokens, a refresh token for the next ones. No call to the upstream
//! issuer: an outage there never uses a client's token up.

use secrecy::SecretString;
use tokenward_protocol::duration::whole_ms;

use super::AuthorizationServer;
use super::client::RequestClient;
use super::issue::IssuedTokens;
use crate::activity::Via;
use crate::app::Service;
use crate::authorization::code::{CodePresentation, Use};
use crate::authorization::family::decide::{Presentation, Verdict, decide, stored_for};
use crate::authorization::family::record::Family;
use crate::authorization::family::token::PresentedRefreshToken;
use crate::authorization::family::{Rotated, Rotation};
use crate::authorization::login::{AuthorizedLogin, is_same_resource};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::session::SessionKey;
use crate::store::StoreError;
use crate::upstream::grant::record::GrantState;

/// Tries of a refresh that races with others of the same login. Whichever wins, the next try finds its outcome; only
/// clients that each use the newest token at once need more than two.
const MAX_TRIES: usize = 4;
/// The lifetimes of session and grant are extended once this part of the session's lifetime has passed.
const EXTENSION_PARTS: u32 = 64;

/// The scope that asks for a refresh token (OpenID Connect Core §11).
const OFFLINE_ACCESS: &str = "offline_access";

/// A client's request with a code.
#[derive(Debug)]
pub(crate) struct CodeRequest {
    pub(crate) client: RequestClient,
    pub(crate) code: SecretString,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) code_verifier: Option<SecretString>,
    pub(crate) resource: Option<String>,
}

/// A client's request with a refresh token.
#[derive(Debug)]
pub(crate) struct RefreshRequest {
    pub(crate) client: RequestClient,
    pub(crate) refresh_token: SecretString,
    pub(crate) scope: Option<String>,
    pub(crate) resource: Option<String>,
}

/// A client's request at the token endpoint.
#[derive(Debug)]
pub(crate) enum TokenRequestOfClient {
    /// `grant_type=authorization_code`.
    Code(CodeRequest),
    /// `grant_type=refresh_token`.
    Refresh(RefreshRequest),
}

/// What a refresh gave.
#[derive(Debug)]
enum Refreshed {
    /// The next generation.
    Rotated(IssuedTokens),
    /// The answer that another request got for the same token.
    Replayed(IssuedTokens),
}

impl Service {
    /// Answers a request of the token endpoint: an outcome for the metric, and the tokens.
    ///
    /// # Errors
    /// [`AuthorizationRefused`].
    pub(crate) async fn tokens_for(
        &self,
        server: &AuthorizationServer,
        request: &TokenRequestOfClient,
    ) -> Result<(&'static str, IssuedTokens), AuthorizationRefused> {
        match request {
            TokenRequestOfClient::Code(request) => Ok(("issued", self.redeem(server, request).await?)),
            TokenRequestOfClient::Refresh(request) => Ok(match self.refresh(server, request).await? {
                Refreshed::Rotated(tokens) => ("refreshed", tokens),
                Refreshed::Replayed(tokens) => ("replayed", tokens),
            }),
        }
    }

    /// Redeems a code.
    async fn redeem(
        &self,
        server: &AuthorizationServer,
        request: &CodeRequest,
    ) -> Result<IssuedTokens, AuthorizationRefused> {
        let Some(stored) = server.codes.read(&request.code).await? else {
            return Err(AuthorizationRefusal::UnknownCode.into());
        };
        let login = &stored.login;
        server
            .authenticate(&login.client, &request.client, AuthorizationRefusal::CodeMismatch)
            .await?;
        let presentation = CodePresentation {
            redirect_uri: request.redirect_uri.as_deref(),
            code_verifier: request.code_verifier.as_ref(),
            resource: request.resource.as_deref(),
        };
        presentation.proves(login)?;
        let session = SessionKey::of_id(&login.session);
        if stored.is_used {
            return Err(self
                .ended(server, &session, AuthorizationRefusal::CodeReused)
                .await);
        }
        self.check_login(server, &session, login).await?;
        // Before the code is used up: a process that dies in between leaves a code that still works.
        let family = self.first_tokens(server, &session, login).await?;
        if server.codes.use_up(&stored).await? == Use::Repeated {
            return Err(self
                .ended(server, &session, AuthorizationRefusal::CodeReused)
                .await);
        }
        let now_ms = self.context.clock.now_ms();
        let answer = server.access_token(login, login.scope.join(" "), now_ms)?;
        let refresh_token = refresh_token(&family, family.generation)?;
        Ok(IssuedTokens::of(
            answer,
            refresh_token,
            now_ms,
            server.usable_for(),
        ))
    }

    async fn first_tokens(
        &self,
        server: &AuthorizationServer,
        session: &SessionKey,
        login: &AuthorizedLogin,
    ) -> Result<Family, AuthorizationRefused> {
        let lifetime = server.stored_for(login, self.context.clock.now_ms());
        Ok(server.families.create(&session.family(), login, lifetime).await?)
    }

    /// Answers a refresh token with the next one.
    async fn refresh(
        &self,
        server: &AuthorizationServer,
        request: &RefreshRequest,
    ) -> Result<Refreshed, AuthorizationRefused> {
        let Some(presented) = PresentedRefreshToken::read(&request.refresh_token) else {
            return Err(AuthorizationRefusal::UnknownRefreshToken.into());
        };
        let session = SessionKey::of_id(&presented.session());
        for _ in 0..MAX_TRIES {
            let Some(family) = server.families.read(&session.family()).await? else {
                return Err(AuthorizationRefusal::UnknownRefreshToken.into());
            };
            if let Some(refreshed) = self
                .refresh_once(server, request, &presented, &session, &family)
                .await?
            {
                return Ok(refreshed);
            }
        }
        Err(AuthorizationRefusal::Busy.into())
    }

    /// One try of a refresh; `None` if another request changed the family in between.
    async fn refresh_once(
        &self,
        server: &AuthorizationServer,
        request: &RefreshRequest,
        presented: &PresentedRefreshToken,
        session: &SessionKey,
        family: &Family,
    ) -> Result<Option<Refreshed>, AuthorizationRefused> {
        let login = &family.content.login;
        let now_ms = self.context.clock.now_ms();
        let presentation = Presentation {
            generation: presented.generation,
            is_proven: presented.is_proven_by(&family.content.secret),
        };
        let lifetime = server.config.login_lifetime;
        let verdict = decide(family.state(), presentation, now_ms, lifetime);
        if verdict == Verdict::Unknown {
            return Err(AuthorizationRefusal::UnknownRefreshToken.into());
        }
        server
            .authenticate(
                &login.client,
                &request.client,
                AuthorizationRefusal::RefreshTokenMismatch,
            )
            .await?;
        match verdict {
            Verdict::Unknown => Err(AuthorizationRefusal::UnknownRefreshToken.into()),
            Verdict::Expired => Err(self
                .ended(server, session, AuthorizationRefusal::LoginExpired)
                .await),
            Verdict::Reuse => Err(self.ended(server, session, AuthorizationRefusal::Reuse).await),
            Verdict::Replay => match server.families.answer(family.rotation).await? {
                None => Err(self.ended(server, session, AuthorizationRefusal::Reuse).await),
                Some(answer) => {
                    self.check_login(server, session, login).await?;
                    let refresh_token = refresh_token(family, family.generation)?;
                    let tokens = IssuedTokens::of(answer, refresh_token, now_ms, server.usable_for());
                    Ok(Some(Refreshed::Replayed(tokens)))
                }
            },
            Verdict::Rotate(next) => {
                check_resource(login, request.resource.as_deref())?;
                let scope = narrowed(&login.scope, request.scope.as_deref())?;
                self.check_login(server, session, login).await?;
                self.rotate(server, session, family, next, scope).await
            }
        }
    }

    async fn rotate(
        &self,
        server: &AuthorizationServer,
        session: &SessionKey,
        family: &Family,
        next: u32,
        scope: String,
    ) -> Result<Option<Refreshed>, AuthorizationRefused> {
        let login = &family.content.login;
        let now_ms = self.context.clock.now_ms();
        let extended_at_ms = self.extended(session, family.extended_at_ms, now_ms).await?;
        let answer = server.access_token(login, scope, now_ms)?;
        let window = server.config.replay_window;
        let rotation = Rotation {
            family,
            generation: next,
            id: server.families.prepare(&answer, window).await?,
            extended_at_ms,
        };
        let lifetime = server.stored_for(login, now_ms);
        match server.families.rotate(&rotation, lifetime).await? {
            Rotated::Conflict => Ok(None),
            Rotated::Done => {
                let refresh_token = refresh_token(family, next)?;
                let tokens = IssuedTokens::of(answer, refresh_token, now_ms, server.usable_for());
                Ok(Some(Refreshed::Rotated(tokens)))
            }
        }
    }

    /// Extends session and grant if that is due, and returns when they were extended last.
    async fn extended(
        &self,
        session: &SessionKey,
        extended_at_ms: u64,
        now_ms: u64,
    ) -> Result<u64, AuthorizationRefused> {
        let due_ms = whole_ms(self.config.session_lifetime / EXTENSION_PARTS);
        // A time in the future is another replica's.
        if now_ms.abs_diff(extended_at_ms) < due_ms {
            return Ok(extended_at_ms);
        }
        self.sessions.extend(session).await?;
        Ok(now_ms)
    }

    /// Whether the login still stands: its session exists, the upstream login is not known to be over, and its server is
    /// still configured. An upstream issuer that is down ends nothing.
    async fn check_login(
        &self,
        server: &AuthorizationServer,
        session: &SessionKey,
        login: &AuthorizedLogin,
    ) -> Result<(), AuthorizationRefused> {
        let ended = |cause: &str| {
            Err(AuthorizationRefused::new(AuthorizationRefusal::LoginEnded).because(cause.to_owned()))
        };
        let Some(grant) = self.sessions.grant_record(session).await? else {
            // Best effort: it expires by itself.
            if let Err(error) = server.families.delete(&session.family()).await {
                tracing::debug!(%error, "a family of an ended session is left to expire");
            }
            return ended("the user signed out, or the session has expired");
        };
        if let GrantState::Dead { reason, .. } = grant.state {
            return ended(reason.as_str());
        }
        let is_configured = self.config.servers.iter().any(|configured| {
            let resource = configured.resource.as_ref();
            resource.is_some_and(|resource| resource.identifier == login.resource)
        });
        if !is_configured {
            let cause = "the server of this login is not configured any more";
            return Err(AuthorizationRefused::new(AuthorizationRefusal::InvalidTarget).because(cause));
        }
        Ok(())
    }

    /// Ends the login because of `refusal`, which is returned; if the store fails, that is.
    async fn ended(
        &self,
        server: &AuthorizationServer,
        session: &SessionKey,
        refusal: AuthorizationRefusal,
    ) -> AuthorizationRefused {
        match self.end_login(server, session).await {
            Ok(()) => AuthorizationRefused::new(refusal),
            Err(error) => error.into(),
        }
    }

    /// Ends a login: its session, its refresh tokens and, if it was the user's last one, the grant.
    pub(super) async fn end_login(
        &self,
        server: &AuthorizationServer,
        session: &SessionKey,
    ) -> Result<(), StoreError> {
        self.end_and_record(session, Via::Client.into()).await?;
        // The session may have ended before, and left the family to expire.
        server.families.delete(&session.family()).await
    }
}

impl AuthorizationServer {
    /// How long a login that is used now is stored.
    fn stored_for(&self, login: &AuthorizedLogin, now_ms: u64) -> std::time::Duration {
        stored_for(
            login.logged_in_at_ms,
            now_ms,
            self.config.refresh_token_lifetime,
            self.config.login_lifetime,
        )
    }
}

fn refresh_token(family: &Family, generation: u32) -> Result<SecretString, AuthorizationRefused> {
    let session = &family.content.login.session;
    family.content.secret.token(session, generation).map_err(|error| {
        AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(error.to_string())
    })
}

/// `resource` of a refresh, if sent, is the login's (RFC 8707 §2.2): it has one.
fn check_resource(login: &AuthorizedLogin, sent: Option<&str>) -> Result<(), AuthorizationRefused> {
    match sent {
        Some(sent) if !is_same_resource(&login.resource, sent) => {
            Err(AuthorizationRefusal::InvalidTarget.into())
        }
        _ => Ok(()),
    }
}

/// The access token's scope: what the client asks for, which the login must have (RFC 6749 §6), or all of it.
fn narrowed(login: &[String], requested: Option<&str>) -> Result<String, AuthorizationRefused> {
    let Some(requested) = requested else {
        return Ok(login.join(" "));
    };
    let has = |scope: &&str| login.iter().any(|own| own == scope);
    // A refresh token is given in any case; some clients add its scope to every request.
    let counts = |scope: &&str| !scope.is_empty() && (*scope != OFFLINE_ACCESS || has(scope));
    let requested: Vec<&str> = requested.split(' ').filter(counts).collect();
    if !requested.iter().all(has) {
        return Err(AuthorizationRefusal::InvalidScope.into());
    }
    if requested.is_empty() {
        return Ok(login.join(" "));
    }
    Ok(requested.join(" "))
}
