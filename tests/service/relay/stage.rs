//! A deployment behind a relay, and a client's login that passes through it.

use serde_json::json;

use crate::deployment::{ADMIN, Deployment, Plan, RelayAnswer};

/// Tokens that a client of the relay holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) access_token: String,
    pub(super) id_token: String,
    pub(super) refresh_token: String,
}

impl Held {
    /// The tokens of a 200.
    pub(super) fn of(answer: &RelayAnswer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        Self {
            access_token: answer.text("access_token"),
            id_token: answer.text("id_token"),
            refresh_token: answer.text("refresh_token"),
        }
    }
}

/// So many replicas behind a relay; `plan` for the rest.
pub(super) async fn behind_a_relay(replicas: usize, plan: Plan) -> anyhow::Result<Deployment> {
    let relay = plan.relay.clone().unwrap_or(json!({}));
    Deployment::start(Plan {
        replicas,
        relay: Some(relay),
        ..plan
    })
    .await
}

/// A login of [`ADMIN`] that passes through the relay.
pub(super) async fn learned(deployment: &Deployment) -> anyhow::Result<Held> {
    Ok(Held::of(&deployment.relayed_login(0, ADMIN).send().await?))
}

/// A refresh at a replica, which must succeed.
pub(super) async fn refreshed(deployment: &Deployment, replica: usize, token: &str) -> anyhow::Result<Held> {
    Ok(Held::of(
        &deployment.relayed_refresh(replica, token).send().await?,
    ))
}

/// Refreshes that arrived at the issuer.
pub(super) fn presented(deployment: &Deployment) -> usize {
    deployment.dex.counts().refreshes_presented
}
