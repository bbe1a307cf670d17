//! A deployment at an issuer with a refresh token for each login, and logins there.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, LoginTokens};

use crate::deployment::{ADMIN, Answer, Deployment, Plan};

/// How long what runs in the background may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The issuer punishes the reuse of a refresh token, and has a revocation endpoint.
pub(crate) fn plan() -> Plan {
    let usual = Plan::default();
    Plan {
        dex: DexConfig {
            keeps_each_login: true,
            has_revocation: true,
            ..usual.dex
        },
        policy: "strict",
        issuer: json!({"refresh_tokens": "per_login"}),
        ..usual
    }
}

pub(super) async fn start() -> anyhow::Result<Deployment> {
    Deployment::start(plan()).await
}

/// A login of [`ADMIN`] in the issuer's session `sid`, which is not registered yet.
pub(super) async fn made_in(deployment: &Deployment, sid: &str) -> anyhow::Result<LoginTokens> {
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    let id_token = deployment.dex.mint(ADMIN, "muster").claim("sid", sid).token();
    Ok(LoginTokens { id_token, ..login })
}

/// The same, registered as `session`.
pub(super) async fn logged_in(
    deployment: &Deployment,
    session: &str,
    sid: &str,
) -> anyhow::Result<LoginTokens> {
    let login = made_in(deployment, sid).await?;
    let put = deployment.put_login(session, &login).await?;
    anyhow::ensure!(put.status < 300, "{put:?}");
    Ok(login)
}

/// What a request with the session handle gets.
pub(crate) async fn asked(
    deployment: &Deployment,
    login: &LoginTokens,
    session: &str,
) -> anyhow::Result<Answer> {
    deployment.ask(&login.id_token).session(session).send().await
}

/// The token that a request with the session handle gets.
pub(super) async fn served(
    deployment: &Deployment,
    login: &LoginTokens,
    session: &str,
) -> anyhow::Result<String> {
    let answer = asked(deployment, login, session).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.token().to_owned())
}

/// Refresh tokens that reached the issuer.
pub(super) fn presented(deployment: &Deployment) -> usize {
    deployment.dex.counts().refreshes_presented
}

/// Fingerprints of the refresh tokens that were revoked, once nothing more is on its way.
pub(super) async fn revoked(deployment: &Deployment) -> Vec<String> {
    assert!(deployment.service(0).drain(PATIENCE).await);
    deployment.dex.revoked()
}
