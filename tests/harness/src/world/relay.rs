//! A relay in front of the home issuer's token endpoint: the endpoint's public address is at the gateway, Envoy routes its
//! exact path to control, and control calls the issuer itself.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{CLIENT, World};
use crate::issuer::{Issuer, LoginTokens};
use crate::parts::{ControlIssuer, EnvoyRoute};
use crate::secrets;

const SCOPES: &str = "openid profile email groups offline_access";

/// The relay of a gateway at a port that is known before it starts.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    /// Members of `issuers[].relay` besides `public_endpoint`.
    pub(super) settings: Value,
    pub(super) gateway_port: u16,
}

impl Relay {
    /// The token endpoint that the issuer's clients use.
    pub(super) fn public_endpoint(&self, home: &impl Issuer) -> String {
        format!("http://127.0.0.1:{}{}", self.gateway_port, path(home))
    }

    /// Makes control the relay of `issuer`.
    pub(super) fn configure(&self, issuer: &mut ControlIssuer, home: &impl Issuer) {
        let mut relay = self.settings.clone();
        relay["public_endpoint"] = json!(self.public_endpoint(home));
        issuer.relay = Some(relay);
        issuer.token_endpoint = Some(home.token_endpoint());
    }

    /// The route of the public endpoint: this path only, unchanged, and its `Host` too.
    pub(super) fn route(home: &impl Issuer, control: SocketAddr) -> EnvoyRoute {
        EnvoyRoute {
            name: "relay".to_owned(),
            ..EnvoyRoute::new(&path(home), control).exactly()
        }
    }
}

fn path(home: &impl Issuer) -> String {
    let endpoint = home.token_endpoint();
    let path = url::Url::parse(&endpoint).map(|url| url.path().to_owned());
    path.unwrap_or(endpoint)
}

impl<I: Issuer> World<I> {
    /// Sends a token request of the aggregator's client (`client_secret_basic`) to [`World::token_endpoint`].
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn token_request(&self, form: &[(&str, &str)]) -> reqwest::Result<reqwest::Response> {
        let request = self.http.post(self.token_endpoint());
        request
            .basic_auth(CLIENT.0, Some(CLIENT.1))
            .form(form)
            .send()
            .await
    }

    /// The user logs in at [`World::token_endpoint`], and no call registers the login at control.
    ///
    /// # Errors
    /// When the login is refused.
    pub async fn log_in_at_token_endpoint(&self, email: &str) -> anyhow::Result<LoginTokens> {
        let login = [
            ("grant_type", "password"),
            ("scope", SCOPES),
            ("username", email),
            ("password", "password"),
        ];
        let answer = self.token_request(&login).await?.error_for_status()?;
        let tokens: LoginTokens = answer.json().await?;
        for secret in [&tokens.id_token, &tokens.access_token, &tokens.refresh_token] {
            secrets::note(secret);
        }
        Ok(tokens)
    }
}
