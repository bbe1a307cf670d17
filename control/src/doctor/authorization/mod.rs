//! Checks of our own authorization server: what an MCP client finds from the outside, the login at the issuer, and whether
//! clients' metadata documents can be fetched.

mod egress;
mod outside;
pub(super) mod upstream;

use serde_json::Value;

use super::probe::Prober;
use super::report::Check;
use crate::authorization::access_token::SigningKeys;
use crate::config::{AuthorizationConfig, Config};

/// Checks the authorization server with [`Prober`].
pub(super) struct AuthorizationChecks<'a> {
    pub(super) prober: &'a Prober,
    pub(super) config: &'a Config,
    pub(super) authorization: &'a AuthorizationConfig,
}

impl AuthorizationChecks<'_> {
    /// All checks, in the order in which a client meets their subjects.
    pub(super) async fn all(&self) -> Vec<Check> {
        let (keys, key_id) = self.keys();
        let mut checks = vec![keys];
        checks.extend(self.servers().await);
        checks.extend(self.metadata().await);
        checks.extend(self.published_keys(key_id.as_deref()).await);
        checks.push(self.routes().await);
        checks.extend(self.login().await);
        checks.extend(self.documents().await);
        checks
    }

    /// `name` of a check of the authorization server.
    fn named(&self, part: &str) -> String {
        format!("authorization server {}: {part}", self.authorization.issuer)
    }

    /// The configured signing keys, and the `kid` of the current one.
    fn keys(&self) -> (Check, Option<String>) {
        let name = self.named("signing keys");
        match SigningKeys::from_config(&self.authorization.signing_keys) {
            Ok(keys) => {
                let set = keys.jwks();
                let next = set["keys"][1]["kid"].as_str();
                let next = next.map_or_else(|| "no next key".to_owned(), |next| format!("next {next}"));
                let current = keys.current_key_id().to_owned();
                (
                    Check::ok(name, format!("kid {current} signs; {next}")),
                    Some(current),
                )
            }
            Err(bad) => (
                Check::fail(name, bad.to_string(), "make a key with tokenward keygen"),
                None,
            ),
        }
    }
}

/// A text of a document, shortened: it comes from outside.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars()
        .filter(|character| !character.is_control())
        .take(LONGEST)
        .collect()
}
