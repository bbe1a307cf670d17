//! The whole deployment with a client that has registered, and a person at a browser.

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokenward_harness::browser::Code;
use tokenward_harness::issuer::{Issuer, http_client};
use tokenward_harness::mcp_login::{AuthorizationRequest, Discovery, McpLogin, McpTokens, tokens};
use tokenward_harness::world::{LOCAL, World, WorldBuilder};

use super::chromium::Chromium;
use super::loopback_client::LoopbackClient;

/// The buttons of the consent page.
pub(crate) const ALLOW: &str = "button[name=decision][value=allow]";
pub(crate) const DENY: &str = "button[name=decision][value=deny]";
/// The first user's button on the page of the fake issuer.
pub(crate) const ONE_CLICK: &str = "main > form:first-of-type input[name=login] ~ button";

/// A deployment, and a program on the user's computer that has registered there.
pub(crate) struct Stage<I> {
    pub(crate) world: World<I>,
    pub(crate) client: LoopbackClient,
    pub(crate) login: McpLogin,
}

impl<I: Issuer> Stage<I> {
    /// With a client of this name.
    pub(crate) async fn set(name: &str) -> anyhow::Result<Self> {
        Self::set_in(World::builder().authorization(), name).await
    }

    /// In another world.
    pub(crate) async fn set_in(world: WorldBuilder, name: &str) -> anyhow::Result<Self> {
        let world = world.start_on::<I>().await?;
        let client = LoopbackClient::start().await?;
        let discovery = Discovery::of(&world.resource(LOCAL)).await?;
        let registration = json!({"client_name": name, "redirect_uris": [client.redirect_uri()]});
        let endpoint = discovery.endpoint("registration_endpoint")?;
        let answer = http_client().post(endpoint).json(&registration).send().await?;
        ensure!(answer.status() == 201, "registration: {}", answer.status());
        let registered: serde_json::Value = answer.json().await?;
        let client_id = registered["client_id"]
            .as_str()
            .context("no client_id")?
            .to_owned();
        let login = McpLogin {
            discovery,
            client_id,
            redirect_uri: client.redirect_uri(),
        };
        Ok(Self { world, client, login })
    }

    /// The browser opens what the client wants to be opened.
    pub(crate) async fn ask(&self, browser: &Chromium) -> anyhow::Result<AuthorizationRequest> {
        let request = self.login.authorization_request()?;
        browser.open(request.url.as_str()).await?;
        Ok(request)
    }

    /// The tokens for what the browser brought to the client.
    pub(crate) async fn redeem(&self, request: AuthorizationRequest) -> anyhow::Result<McpTokens> {
        let arrival = self.client.arrival().await?;
        let value = |name: &str| {
            let mut parameters = arrival.iter();
            let found = parameters.find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        ensure!(
            value("state") == Some(request.state),
            "another state: {arrival:?}"
        );
        ensure!(
            value("iss") == Some(self.world.authorization_issuer()),
            "another issuer: {arrival:?}"
        );
        let code = value("code").with_context(|| format!("no code: {arrival:?}"))?;
        let code = Code {
            code,
            verifier: request.verifier,
        };
        tokens(&self.login.redeem(&code).await?)
    }
}
