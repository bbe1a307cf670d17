//! `/authorize/callback`: the upstream issuer sends the user back.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::AuthorizationServer;
use crate::activity::Via;
use crate::app::Service;
use crate::app::sessions::{Registration, RegistrationError};
use crate::authorization::browser::{self, BrowserSecret};
use crate::authorization::consent;
use crate::authorization::login::AuthorizedLogin;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::request::CheckedRequest;
use crate::authorization::upstream_leg::{self, LoginState, UpstreamLogin};
use crate::authorization::upstream_response::{UpstreamResponse, refusal_of_error};
use crate::refused::Refused;
use crate::upstream::issuer::answer::Transient;
use crate::upstream::issuer::answer::login::{LoginAnswer, LoginTokens};
use crate::upstream::issuer::login::{CodeRedemption, check_id_token, is_from_another_issuer};
use crate::upstream::issuer::pace::Urgency;
use crate::upstream::issuer::{HomeIssuer, NotPermitted};
use tokenward_protocol::refusal::Refusal;

/// The cookies of a browser that comes back.
#[derive(Debug)]
pub(crate) struct ReturnCookies {
    /// That of this login.
    pub(crate) login: Option<BrowserSecret>,
    /// That of remembered consents.
    pub(crate) remembered: Option<BrowserSecret>,
}

/// A login that is done.
#[derive(Debug)]
pub(crate) struct FinishedLogin {
    /// Where the browser goes: the client's redirect URI with a code.
    pub(crate) location: String,
    /// The cookie with which the consent is remembered.
    pub(crate) remembered: Option<BrowserSecret>,
}

/// A login that failed.
#[derive(Debug)]
pub(crate) struct FailedLogin {
    /// Why.
    pub(crate) refused: AuthorizationRefused,
    /// The client and how it can be told, if that is known.
    pub(crate) client: Option<WaitingClient>,
}

/// The client that waits for a login.
#[derive(Debug)]
pub(crate) struct WaitingClient {
    /// `client_id`.
    pub(crate) id: String,
    /// What it calls itself.
    pub(crate) name: String,
    /// Where the browser tells it that the login failed.
    pub(crate) location: String,
}

impl<R: Into<AuthorizationRefused>> From<R> for FailedLogin {
    fn from(refused: R) -> Self {
        Self {
            refused: refused.into(),
            client: None,
        }
    }
}

impl Service {
    /// Finishes a login: the issuer's code becomes a session, and the client gets a code of ours.
    ///
    /// # Errors
    /// [`FailedLogin`], for the user.
    pub(crate) async fn finish_login(
        self: &Arc<Self>,
        server: &Arc<AuthorizationServer>,
        response: UpstreamResponse,
        cookies: ReturnCookies,
    ) -> Result<FinishedLogin, FailedLogin> {
        let state = LoginState::of(&response.state);
        let found = upstream_leg::find(&self.context, &state).await?;
        let found = found.ok_or(AuthorizationRefusal::UnknownLogin)?;
        if !found.is_of(cookies.login.as_ref()) {
            return Err(AuthorizationRefusal::OtherBrowser.into());
        }
        let home = Arc::clone(self.login_home(server)?);
        let sends_issuer = found.login.sends_issuer;
        if is_from_another_issuer(&home.config.issuer, sends_issuer, response.issuer.as_deref()) {
            return Err(AuthorizationRefusal::MixUp.into());
        }
        let login = upstream_leg::take(&self.context, &state, found).await?;
        let login = login.ok_or(AuthorizationRefusal::UnknownLogin)?;
        let server = Arc::clone(server);
        let finishing = self.run_to_completion(|service| async move {
            let request = login.request.clone();
            let finished = service
                .finish(&server, &home, &state, login, &response, &cookies)
                .await;
            Ok(finished.map_err(|refused| FailedLogin {
                client: Some(waiting(&server, &request, &refused)),
                refused,
            }))
        });
        finishing.await.map_err(AuthorizationRefused::from)?
    }

    async fn finish(
        &self,
        server: &AuthorizationServer,
        home: &Arc<HomeIssuer>,
        state: &LoginState,
        login: UpstreamLogin,
        response: &UpstreamResponse,
        cookies: &ReturnCookies,
    ) -> Result<FinishedLogin, AuthorizationRefused> {
        let code = match (&response.code, &response.error) {
            (_, Some(error)) => return Err(refusal_of_error(error)),
            (Some(code), None) => code,
            (None, None) => return Err(invalid("the issuer sent neither code nor error")),
        };
        let tokens = self.redeem_upstream(server, home, state, code, &login).await?;
        let id_token = tokens
            .id_token
            .ok_or_else(|| invalid("the issuer sent no ID token"))?;
        let refresh_token = tokens.refresh_token.ok_or(AuthorizationRefusal::NoRefreshToken)?;
        let now_ms = self.context.clock.now_ms();
        let (issuer, client_id) = (&home.config.issuer, &home.config.client_id);
        let claims = check_id_token(id_token.expose_secret(), issuer, client_id, &login.nonce, now_ms)
            .map_err(|bad| invalid(&bad.to_string()))?;
        let user = consent::user_digest(issuer, &claims.subject);
        let request = &login.request;
        if login
            .consented_user
            .as_ref()
            .is_some_and(|consented| *consented != user)
        {
            if let Some(browser) = &cookies.remembered {
                consent::forget(&self.context, browser, request).await?;
            }
            return Err(AuthorizationRefusal::ConsentOfAnother.into());
        }
        let session = browser::random_session()?;
        let registration = Registration {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            id_token,
            refresh_token: Some(refresh_token),
            access_token: tokens.access_token,
            via: Via::Here,
        };
        self.put_session(&session, &registration)
            .await
            .map_err(not_registered)?;
        let code = self
            .issue_code(&authorized(request, claims.subject, session, now_ms))
            .await?;
        let remembered = match login.remember {
            true => self.remember_consent(server, cookies, request, user).await,
            false => None,
        };
        Ok(FinishedLogin {
            location: request.reply_to.code(&server.config.issuer, code.expose_secret()),
            remembered,
        })
    }

    /// Redeems the issuer's `code`, once.
    async fn redeem_upstream(
        &self,
        server: &AuthorizationServer,
        home: &Arc<HomeIssuer>,
        state: &LoginState,
        code: &SecretString,
        login: &UpstreamLogin,
    ) -> Result<LoginTokens, AuthorizationRefused> {
        let permit = home
            .permit(&self.context, state.digest(), Urgency::Waiting)
            .await
            .map_err(not_permitted)?;
        let redemption = CodeRedemption {
            code,
            redirect_uri: &server.callback_uri(),
            code_verifier: &login.code_verifier,
        };
        match home.redeem_code(&self.context, permit, &redemption).await {
            LoginAnswer::LoggedIn(tokens) => Ok(tokens),
            LoginAnswer::CodeRejected => Err(AuthorizationRefusal::UpstreamCodeRejected.into()),
            LoginAnswer::Denied => Err(AuthorizationRefusal::UpstreamDenied.into()),
            LoginAnswer::Misconfigured(cause) => {
                Err(AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(cause))
            }
            LoginAnswer::Transient(passing) => Err(transient(&passing)),
        }
    }

    /// Remembers the consent; a store that does not answer only means that the user is asked again.
    async fn remember_consent(
        &self,
        server: &AuthorizationServer,
        cookies: &ReturnCookies,
        request: &CheckedRequest,
        user: String,
    ) -> Option<BrowserSecret> {
        let browser = match &cookies.remembered {
            Some(browser) => browser.clone(),
            None => BrowserSecret::new().ok()?,
        };
        let config = &server.config.remembered_consent;
        match consent::remember(&self.context, config, &browser, request, user).await {
            Ok(()) => Some(browser),
            Err(error) => {
                tracing::debug!(%error, "consent not remembered");
                None
            }
        }
    }
}

fn authorized(
    request: &CheckedRequest,
    subject: String,
    session: SecretString,
    now_ms: u64,
) -> AuthorizedLogin {
    AuthorizedLogin {
        client: request.client.clone(),
        client_name: request.client_name.clone(),
        redirect_uri: request.reply_to.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        server: request.server.clone(),
        resource: request.resource.clone(),
        scope: request.scope.clone(),
        subject,
        session,
        logged_in_at_ms: now_ms,
    }
}

/// How the client of `request` is told that the login was `refused`.
fn waiting(
    server: &AuthorizationServer,
    request: &CheckedRequest,
    refused: &AuthorizationRefused,
) -> WaitingClient {
    WaitingClient {
        id: request.client.id.clone(),
        name: request.client_name.clone(),
        location: request.reply_to.refused(&server.config.issuer, refused),
    }
}

fn invalid(cause: &str) -> AuthorizationRefused {
    AuthorizationRefused::new(AuthorizationRefusal::UpstreamInvalid).because(cause)
}

fn not_permitted(why: NotPermitted) -> AuthorizationRefused {
    match why {
        NotPermitted::Throttled(throttled) => throttled.refused(Refusal::IssuerUnavailable).into(),
        NotPermitted::Transient(passing) => transient(&passing),
        NotPermitted::Misconfigured(cause) => {
            AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(cause)
        }
    }
}

/// The code is used up if the issuer processed the request.
fn transient(passing: &Transient) -> AuthorizationRefused {
    let refusal = if passing.perhaps_done {
        AuthorizationRefusal::OutcomeUnknown
    } else {
        AuthorizationRefusal::IssuerUnavailable
    };
    let refused = AuthorizationRefused::new(refusal).because(passing.cause.clone());
    match passing.retry_after {
        Some(wait) => refused.retry_after(wait),
        None => refused,
    }
}

/// Why the login is not registered. A token that is not accepted is the issuer's fault here, not the caller's.
fn not_registered(error: RegistrationError) -> AuthorizationRefused {
    match error {
        RegistrationError::Conflict => AuthorizationRefusal::Busy.into(),
        RegistrationError::Refused(refused) => match refused.refusal {
            Refusal::StoreUnavailable | Refusal::IssuerUnavailable | Refusal::Busy => refused.into(),
            _ => invalid(&Refused::description(&refused)),
        },
    }
}
