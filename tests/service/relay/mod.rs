//! The relay: control at an issuer's public token endpoint.

mod clients;
mod codes;
mod doctor;
mod edge;
mod edge_failures;
mod logins;
mod presented;
mod races;
mod raw;
mod refreshes;
mod stage;

use serde_json::json;

use crate::deployment::{Deployment, Plan};
use crate::traffic::metrics;

/// The sum of one of the relay's counters with this outcome.
async fn counted(deployment: &Deployment, metric: &str, outcome: &str) -> anyhow::Result<u64> {
    let labels = [("issuer", deployment.dex.issuer()), ("outcome", outcome)];
    Ok(metrics(deployment).await?.count(metric, &labels))
}

/// A plan with a relay that has its defaults.
fn relayed() -> Plan {
    Plan {
        relay: Some(json!({})),
        ..Plan::default()
    }
}
