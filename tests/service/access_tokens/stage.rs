//! A deployment with a server that gets access tokens, and what its answers say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::store::Store as _;
use tokenward_control::upstream::grant::record::GrantKey;
use tokenward_harness::issuer::LoginTokens;

use crate::deployment::{ADMIN, Answer, Deployment, Plan};

/// The server that gets access tokens, beside the one that gets ID tokens.
pub(super) const FILES: &str = "files";
/// `expires_in` of an access token that has just been issued, seconds: Dex rounds down.
pub(super) const OPAQUE_LIFE: u64 = 299;
pub(super) const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The entry of that server, with these members of `auth` besides.
pub(super) fn files(more: &Value) -> Value {
    let mut auth = json!({"forwardToken": true, "forward": "access_token"});
    for (name, value) in more.as_object().into_iter().flatten() {
        auth[name] = value.clone();
    }
    json!({"name": FILES, "auth": auth})
}

/// A deployment with that server. Dex's access tokens are JWTs, or opaque.
pub(super) fn plan(is_opaque: bool) -> Plan {
    let mut plan = Plan {
        servers: vec![files(&json!({}))],
        ..Plan::default()
    };
    plan.dex.opaque_access_tokens = is_opaque;
    plan
}

/// The token of an answer for [`FILES`].
pub(super) fn access_token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN, "{answer:?}");
    answer.token().to_owned()
}

/// Registers `login` with its access token, which lives for `expires_in` seconds more.
pub(super) async fn put(
    deployment: &Deployment,
    session: &str,
    login: &LoginTokens,
    expires_in: Option<u64>,
) -> anyhow::Result<Answer> {
    let body = json!({
        "issuer": deployment.dex.issuer(),
        "client_id": "muster",
        "id_token": login.id_token,
        "refresh_token": login.refresh_token,
        "access_token": login.access_token,
        "access_token_expires_in": expires_in,
    });
    deployment.put_body(session, &body).await
}

/// A claim of a JWT.
pub(super) fn claim(token: &str, name: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
    claims[name].clone()
}

/// Refreshes that arrived at the issuer.
pub(super) fn presented(deployment: &Deployment) -> usize {
    deployment.dex.counts().refreshes_presented
}

/// The bytes of the grant's record in the store.
pub(super) async fn record_bytes(deployment: &Deployment) -> anyhow::Result<usize> {
    let grant = GrantKey::new(deployment.dex.issuer(), "muster", &deployment.dex.subject(ADMIN));
    let entry = deployment.store().read(&grant.record()).await?;
    Ok(entry.map_or(0, |entry| entry.value.len()))
}
