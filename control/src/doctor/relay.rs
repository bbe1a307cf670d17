//! Checks of a relay: whether the issuer's clients reach control, and control the issuer.

use std::sync::Arc;

use super::issuers::Issuers;
use super::report::{Check, Finding};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{ClientAuth, Config, IssuerConfig, RelayConfig};
use crate::store::Store;
use crate::upstream::issuer::client::ClientCredentials;
use crate::upstream::issuer::loggable::loggable;
use crate::upstream::relay::Relay;

impl Issuers<'_> {
    /// Checks the relay of one home issuer: the route to control, and that clients find it.
    pub(super) async fn relay(&self, name: &str, config: &IssuerConfig, relay: &RelayConfig) -> Vec<Check> {
        vec![
            self.route(format!("{name}: relay"), config, relay).await,
            self.published(format!("{name}: relay in discovery"), config, relay)
                .await,
        ]
    }

    /// A token request without a grant type must come to control, which passes it on. It has the client's credentials in its
    /// header, because a route can be for that client alone.
    async fn route(&self, name: String, config: &IssuerConfig, relay: &RelayConfig) -> Check {
        const NOT_ROUTED: &str = "route exactly this host and path to control (docs/install.md); a route for one client \
                                  must match this client's Authorization header";
        let public = relay.public_endpoint.as_str();
        let credentials = ClientCredentials {
            issuer: &config.issuer,
            dialect: config.dialect,
            now_ms: SystemClock.now_ms(),
            id: &config.client_id,
            secret: &config.client_secret,
            auth: ClientAuth::Basic,
        };
        let answer = self
            .prober
            .empty_token_request(&relay.public_endpoint, credentials, "")
            .await;
        match answer {
            Ok(answer) if answer.is_marked => Check::ok(
                name,
                format!("control answers at {public} in {} ms", answer.took.as_millis()),
            ),
            Ok(answer) => Check::warn(
                name,
                format!(
                    "something else than control answers at {public} (status {}): clients refresh past the relay",
                    answer.status
                ),
                NOT_ROUTED,
            ),
            Err(failure) => Check::warned(name, Finding::from(failure).if_only_clients_reach(public)),
        }
    }

    /// The public endpoint is the one that clients read in the discovery document.
    async fn published(&self, name: String, config: &IssuerConfig, relay: &RelayConfig) -> Check {
        match self.discovered(&config.issuer).await {
            Ok(found) if found.token_endpoint == relay.public_endpoint => {
                Check::ok(name, "the document names relay.public_endpoint")
            }
            Ok(found) => Check::warn(
                name,
                format!(
                    "the document names {} as token_endpoint: clients that read it go past the relay",
                    loggable(found.token_endpoint.as_str())
                ),
                "set relay.public_endpoint to that address, and route it to control",
            ),
            Err(finding) => Check::warned(name, finding),
        }
    }
}

/// Whether logins were rotated past a relay, as the replicas noted in the store.
pub(super) async fn bypasses(store: &Arc<dyn Store>, config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for issuer in config.issuers.iter().filter(|issuer| issuer.relay.is_some()) {
        let issuer = issuer.issuer.as_str();
        if !seen.contains(&issuer) {
            seen.push(issuer);
            checks.push(bypass(store, issuer).await);
        }
    }
    checks
}

async fn bypass(store: &Arc<dyn Store>, issuer: &str) -> Check {
    const HINT: &str = "a client has another way to the issuer's token endpoint: look for a fixed in-cluster address in its \
                        configuration, a weight of the route, or a failover to the issuer";
    let name = format!("issuer {issuer}: logins past the relay");
    match Relay::bypass_notice(store.as_ref(), issuer).await {
        Ok(None) => Check::ok(name, "none within the last day"),
        Ok(Some(notice)) => {
            let minutes = SystemClock.now_ms().saturating_sub(notice.last_at_ms) / 60_000;
            Check::warn(
                name,
                format!(
                    "{} logins were rotated past the relay, the last one {minutes} minutes ago",
                    notice.count
                ),
                HINT,
            )
        }
        Err(error) => Check::fail(name, error.to_string(), "check the store"),
    }
}
