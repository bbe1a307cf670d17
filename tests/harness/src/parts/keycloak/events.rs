//! What Keycloak itself has recorded of requests.

use http::Method;
use serde_json::Value;

use super::Realm;

/// One event, of the latest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `REFRESH_TOKEN`, `TOKEN_EXCHANGE` …, with `_ERROR` where it was refused.
    pub kind: String,
    /// The session at Keycloak.
    pub session: String,
    /// The client that sent the request.
    pub client: String,
    /// Why it was refused; empty if it was not.
    pub reason: String,
}

impl Realm {
    /// The realm's events of this kind, at most a thousand.
    ///
    /// # Errors
    /// When Keycloak does not answer.
    pub async fn events(&self, kind: &str) -> anyhow::Result<Vec<Event>> {
        let path = format!("/{}/events?type={kind}&max=1000", self.name);
        let (events, _) = self.server.admin(Method::GET, &path, None).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let events = events.as_array().into_iter().flatten().map(|event| Event {
            kind: text(&event["type"]),
            session: text(&event["sessionId"]),
            client: text(&event["clientId"]),
            reason: text(&event["details"]["reason"]),
        });
        Ok(events.collect())
    }

    /// How many refreshes Keycloak has done, and how many it has refused.
    ///
    /// # Errors
    /// When Keycloak does not answer.
    pub async fn refreshes(&self) -> anyhow::Result<(usize, usize)> {
        let done = self.events("REFRESH_TOKEN").await?.len();
        Ok((done, self.events("REFRESH_TOKEN_ERROR").await?.len()))
    }
}
