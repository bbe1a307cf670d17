//! Sends a user who agreed to the upstream issuer.

use std::sync::Arc;

use secrecy::ExposeSecret;
use url::Url;

use super::AuthorizationServer;
use crate::app::Service;
use crate::authorization::browser::{self, BrowserSecret};
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::authorization::request::CheckedRequest;
use crate::authorization::upstream_leg::{self, COOKIE_PURPOSE, LoginState, UpstreamLogin};
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::discovery::DiscoveryFailed;
use crate::upstream::issuer::login::{LoginRequest, NoAuthorizationEndpoint, requested_scope, s256};

/// The way to the upstream issuer.
#[derive(Debug)]
pub(crate) struct ToUpstream {
    /// The issuer's login page.
    pub(crate) url: Url,
    /// `state` of the login, which names its cookie.
    pub(crate) state: LoginState,
    /// The value of that cookie.
    pub(crate) browser: BrowserSecret,
}

/// The path of the redirect URI that is registered at the upstream issuer.
pub(crate) const CALLBACK_PATH: &str = "/authorize/callback";

impl AuthorizationServer {
    /// The redirect URI that is registered at the upstream issuer.
    pub(crate) fn callback_uri(&self) -> String {
        format!("{}{CALLBACK_PATH}", self.config.issuer)
    }
}

impl Service {
    /// The issuer and client with which users log in.
    pub(super) fn login_home(
        &self,
        server: &AuthorizationServer,
    ) -> Result<&Arc<HomeIssuer>, AuthorizationRefused> {
        let login = &server.config.login;
        self.home(&login.issuer, &login.client_id).ok_or_else(|| {
            AuthorizationRefused::new(AuthorizationRefusal::Misconfigured)
                .because("authorization.login names no configured issuer")
        })
    }

    /// Stores a login that its user agreed to, and returns the way to the upstream issuer. `state` does not exist before this,
    /// so no page of another browser can have prepared one.
    pub(super) async fn begin_upstream_login(
        &self,
        server: &AuthorizationServer,
        request: CheckedRequest,
        remember: bool,
        consented_user: Option<String>,
    ) -> Result<ToUpstream, AuthorizationRefused> {
        let home = self.login_home(server)?;
        let (state, nonce) = (browser::random_text()?, browser::random_text()?);
        let code_verifier = browser::random_text()?;
        let scope = requested_scope(&server.config.login, &home.config, &self.config.servers);
        let login_request = LoginRequest {
            redirect_uri: &server.callback_uri(),
            scope: &scope,
            state: &state,
            nonce: nonce.expose_secret(),
            code_challenge: &s256(&code_verifier),
        };
        let url = home
            .login_url(&self.context, &server.config.login, &login_request)
            .await
            .map_err(|error| no_endpoint(&error))?;
        let browser = BrowserSecret::new()?;
        let login = UpstreamLogin {
            request,
            browser: browser.digest(COOKIE_PURPOSE),
            nonce: nonce.expose_secret().to_owned(),
            code_verifier,
            sends_issuer: home.sends_issuer(),
            remember,
            consented_user,
        };
        let state = LoginState::of(&state);
        upstream_leg::store(&self.context, &state, &login).await?;
        Ok(ToUpstream { url, state, browser })
    }
}

fn no_endpoint(error: &NoAuthorizationEndpoint) -> AuthorizationRefused {
    let cause = error.to_string();
    match error {
        NoAuthorizationEndpoint::Discovery(DiscoveryFailed::Unavailable { retry_after, .. }) => {
            let refused = AuthorizationRefused::new(AuthorizationRefusal::IssuerUnavailable).because(cause);
            match retry_after {
                Some(wait) => refused.retry_after(*wait),
                None => refused,
            }
        }
        NoAuthorizationEndpoint::Discovery(DiscoveryFailed::Unusable(_))
        | NoAuthorizationEndpoint::Absent => {
            AuthorizationRefused::new(AuthorizationRefusal::Misconfigured).because(cause)
        }
    }
}
