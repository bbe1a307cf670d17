//! A fake cloud issuer and a control service that is configured for it as docs/issuers.md has it.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::cloud_issuers::{CloudConfig, CloudIssuer, CloudProduct, Rotation};
use tokenward_harness::issuer::LoginTokens;

use crate::deployment::{Answer, Deployment, InProcess, Plan, TokenCall};

pub(super) const USER: &str = "ada@example.com";
/// Longer than any pause of control after a failure.
const PAUSE_SECONDS: u64 = 301;
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A product, as an administrator has set it up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    pub(super) product: CloudProduct,
    rotation: Option<Rotation>,
    /// `issuers[].policy`, where it is not the dialect's.
    policy: Option<&'static str>,
}

impl Variant {
    pub(super) const ENTRA: Self = Self::of(CloudProduct::Entra);
    pub(super) const OKTA: Self = Self::of(CloudProduct::Okta);
    pub(super) const OKTA_WITHOUT_ROTATION: Self = Self {
        rotation: Some(Rotation::Static),
        policy: Some("tolerant"),
        ..Self::OKTA
    };
    pub(super) const AUTH0: Self = Self::of(CloudProduct::Auth0);
    pub(super) const AUTH0_WITH_OVERLAP: Self = Self {
        rotation: Some(Rotation::Replaced {
            overlap: Duration::from_secs(60),
        }),
        policy: Some("tolerant"),
        ..Self::AUTH0
    };
    pub(super) const GOOGLE: Self = Self::of(CloudProduct::Google);

    const fn of(product: CloudProduct) -> Self {
        Self {
            product,
            rotation: None,
            policy: None,
        }
    }

    /// Whether a refresh token that was used may be presented once more.
    pub(super) fn is_tolerant(self) -> bool {
        match self.policy {
            Some(policy) => policy == "tolerant",
            None => matches!(self.product, CloudProduct::Entra | CloudProduct::Google),
        }
    }

    /// Whether each refresh answers with another refresh token.
    pub(super) fn rotates(self) -> bool {
        let rotation = self.rotation.unwrap_or(CloudConfig::of(self.product).rotation);
        rotation != Rotation::Static
    }

    /// Whether control revokes a refresh token when its login ends: where that leaves the user's other logins alive.
    pub(super) fn is_revoked_at_the_end(self) -> bool {
        matches!(self.product, CloudProduct::Okta | CloudProduct::Auth0)
    }
}

pub(super) struct Stage {
    pub(super) issuer: CloudIssuer,
    pub(super) control: Deployment<InProcess, ()>,
    life_seconds: u64,
}

impl Stage {
    pub(super) async fn set(variant: Variant) -> anyhow::Result<Self> {
        Self::with(variant, |_| {}, |_, _| {}).await
    }

    /// With another configuration of the issuer and, once that runs, of control.
    pub(super) async fn with(
        variant: Variant,
        at_the_issuer: impl FnOnce(&mut CloudConfig),
        at_control: impl FnOnce(&mut Plan, &CloudIssuer),
    ) -> anyhow::Result<Self> {
        let mut config = CloudConfig::of(variant.product);
        config.rotation = variant.rotation.unwrap_or(config.rotation);
        at_the_issuer(&mut config);
        let life_seconds = config.token_lifetime.as_secs();
        let issuer = CloudIssuer::start(config).await?;
        let mut plan = Plan {
            issuer: json!({"dialect": variant.product.name(), "policy": variant.policy}),
            ..Plan::default()
        };
        at_control(&mut plan, &issuer);
        let control = Deployment::start_at(plan, issuer.issuer(), issuer.clock()).await?;
        Ok(Self {
            issuer,
            control,
            life_seconds,
        })
    }

    /// A login of [`USER`], registered as `session`.
    pub(super) async fn log_in(&self, session: &str) -> anyhow::Result<LoginTokens> {
        let tokens = self.issuer.log_in(USER);
        let put = self.control.put_login(session, &tokens).await?;
        anyhow::ensure!(matches!(put.status, 200 | 201), "PUT answered {put:?}");
        Ok(tokens)
    }

    /// The same with its access token.
    pub(super) async fn log_in_with_access_token(&self, session: &str) -> anyhow::Result<LoginTokens> {
        let tokens = self.issuer.log_in(USER);
        let body = json!({
            "issuer": self.issuer.issuer(), "client_id": "muster", "id_token": tokens.id_token,
            "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
        });
        let put = self.control.put_body(session, &body).await?;
        anyhow::ensure!(matches!(put.status, 200 | 201), "PUT answered {put:?}");
        Ok(tokens)
    }

    pub(super) fn ask(&self, session: &str, token: &str) -> TokenCall {
        self.control.ask(token).session(session)
    }

    /// A renewed token of `session`, where `token` is over.
    pub(super) async fn renewed(&self, session: &str, token: &str) -> anyhow::Result<String> {
        let answer = self.ask(session, token).send().await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        anyhow::ensure!(answer.token() != token, "the same token");
        Ok(answer.token().to_owned())
    }

    /// All tokens so far are over.
    pub(super) fn expire(&self) {
        self.control.advance(self.life_seconds + 1);
    }

    /// Every pause of control after a failure is over.
    pub(super) fn pause(&self) {
        self.control.advance(PAUSE_SECONDS);
    }

    /// Repeats the call, after each pause that its answer names, until the answer is not 503.
    pub(super) async fn settled(&self, call: &TokenCall) -> anyhow::Result<Answer> {
        for _ in 0..20 {
            let answer = call.send().await?;
            if answer.status != 503 {
                return Ok(answer);
            }
            let wait = answer.retry_after().context("503 without Retry-After")?;
            self.control.advance(wait.as_secs());
        }
        anyhow::bail!("still 503")
    }

    /// Refreshes: presented, succeeded, with a token that had come before.
    pub(super) fn refreshes(&self) -> (usize, usize, usize) {
        let counts = self.issuer.counts();
        (
            counts.refreshes_presented,
            counts.refreshes_succeeded,
            self.issuer.presented_again(),
        )
    }

    /// Returns when control has nothing under way.
    pub(super) async fn at_rest(&self) {
        assert!(self.control.service(0).drain(PATIENCE).await);
    }

    pub(super) async fn state(&self, session: &str) -> anyhow::Result<String> {
        let status = self.control.status(session).await?;
        Ok(status.text("state").to_owned())
    }
}

/// A server `name` with this `auth`.
pub(super) fn server(name: &str, auth: &Value) -> Value {
    json!({"name": name, "auth": auth})
}
