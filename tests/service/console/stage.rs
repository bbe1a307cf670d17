//! A deployment with a console, an operator, and users.

use serde_json::{Value, json};
use tokenward_harness::issuer::{DexClient, DexConfig, DexUser, FakeDex};

use super::tab::Tab;
use crate::deployment::{Deployment, Plan};

/// `console.public_url`.
pub(super) const HOST: &str = "console.example.com";
pub(super) const ORIGIN: &str = "https://console.example.com";
/// A member of `console.groups`.
pub(super) const OPERATOR: &str = "olga@example.com";

/// The running deployment.
pub(super) struct Stage {
    pub(super) deployment: Deployment,
}

/// Dex with an operator, the console's client, and `more`.
pub(super) fn dex(more: DexConfig) -> DexConfig {
    let operator = DexUser {
        groups: vec!["sre".to_owned()],
        ..DexUser::new(OPERATOR)
    };
    more.user(operator).client(DexClient {
        redirect_uris: vec![format!("{ORIGIN}/console/callback")],
        ..DexClient::new("tokenward-console", "console-client-secret")
    })
}

/// The `console` section for the issuer `issuer`.
pub(super) fn section(issuer: &str) -> Value {
    json!({
        "listen": "127.0.0.1:0",
        "public_url": ORIGIN,
        "issuer": issuer,
        "client_id": "tokenward-console",
        "client_secret": {"file": "@console-client"},
        "groups": ["sre"],
    })
}

impl Stage {
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::start_with(Plan::default(), json!({})).await
    }

    /// With members of `console` in place of the usual ones.
    pub(super) async fn start_with(plan: Plan, more: Value) -> anyhow::Result<Self> {
        let issuer = FakeDex::start(dex(plan.dex.clone())).await?;
        let mut console = section(issuer.issuer());
        for (name, value) in more.as_object().into_iter().flatten() {
            console[name] = value.clone();
        }
        let mut plan = plan;
        plan.settings["console"] = console;
        plan.secrets
            .push(("console-client".to_owned(), "console-client-secret".to_owned()));
        let deployment = Deployment::start_beside(plan, issuer).await?;
        Ok(Self { deployment })
    }

    /// A browser at the first replica.
    pub(super) fn tab(&self) -> Tab<'_> {
        Tab::new(&self.deployment)
    }

    /// A browser of an operator who is logged in.
    pub(super) async fn operator(&self) -> anyhow::Result<Tab<'_>> {
        let tab = self.tab();
        let page = tab.log_in(OPERATOR, "/console/").await?;
        anyhow::ensure!(page.status == 200, "{page:?}");
        Ok(tab)
    }
}
