//! Token exchange (RFC 8693) as Dex does it, through an `oidc` connector to a home issuer.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::answers::{DexError, Tokens};
use super::dex::Dex;
use super::form::Form;
use super::grants::Identity;
use super::jose::{Jws, RemoteKeys, http_client};
use super::tokens::TokenOrder;
use super::{DexConnector, Failure, token_endpoint};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// A connector and what it knows of its issuer.
#[derive(Debug)]
pub(crate) struct ConnectorState {
    pub(crate) config: DexConnector,
    pub(crate) upstream: OnceCell<Upstream>,
}

/// The home issuer's endpoints, from its discovery document.
#[derive(Debug)]
pub(crate) struct Upstream {
    keys: RemoteKeys,
    userinfo_endpoint: String,
}

pub(crate) async fn exchange(
    dex: &Dex,
    client_id: &str,
    form: &Form,
    failure: Option<&Failure>,
) -> Result<Response, DexError> {
    let subject_type = form.get("subject_token_type");
    if subject_type != ID_TOKEN && subject_type != ACCESS_TOKEN {
        return Err(DexError::not_supported("Invalid subject_token_type."));
    }
    let subject_token = form.get("subject_token");
    if subject_token.is_empty() {
        return Err(DexError::invalid_request("Missing subject_token"));
    }
    let connector = dex
        .connector(form.get("connector_id"))
        .ok_or_else(|| DexError::invalid_request("Requested connector does not exist."))?;
    let identity = connector
        .token_identity(dex, subject_type, subject_token)
        .await
        .ok_or_else(|| DexError::new(StatusCode::UNAUTHORIZED, "access_denied", ""))?;
    let scopes = form.scopes();
    let order = TokenOrder {
        client_id,
        connector_id: &connector.config.id,
        identity: &identity,
        scopes: &scopes,
        nonce: "",
        code: None,
        failure,
    };
    let issued_ms = dex.clock.now_ms();
    let (token, issued_token_type) = match form.get("requested_token_type") {
        "" | ACCESS_TOKEN => (order.access_token(dex, issued_ms), ACCESS_TOKEN),
        ID_TOKEN => (order.id_token(dex, issued_ms, None), ID_TOKEN),
        _ => return Err(DexError::not_supported("Invalid requested_token_type.")),
    };
    let access_token =
        token.map_err(|_| DexError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", ""))?;
    dex.count(Some(&identity.email), |counts| counts.exchanges_succeeded += 1);
    let tokens = Tokens {
        access_token,
        issued_token_type: Some(issued_token_type),
        token_type: "bearer",
        expires_in: token_endpoint::expires_in(dex, issued_ms),
        ..Tokens::default()
    };
    Ok(tokens.into_response())
}

impl ConnectorState {
    /// The user of a subject token, `None` when it is not accepted or the home issuer is unreachable: Dex answers
    /// both the same. The audience of the subject token is not checked.
    async fn token_identity(&self, dex: &Dex, subject_type: &str, subject_token: &str) -> Option<Identity> {
        let upstream = self
            .upstream
            .get_or_try_init(|| Upstream::discover(&self.config.issuer))
            .await
            .ok()?;
        let mut claims = Map::new();
        if subject_type == ID_TOKEN {
            let jws = Jws::read(subject_token)?;
            let in_time = dex.clock.now_ms() <= jws.exp_seconds()?.saturating_mul(1000);
            if jws.text("iss")? != self.config.issuer || !in_time || !upstream.keys.verify(&jws).await {
                return None;
            }
            claims = jws.claims;
        } else if !self.config.get_user_info {
            return None;
        }
        if self.config.get_user_info {
            claims.extend(upstream.user_info(subject_token).await?);
        }
        read_identity(&claims)
    }
}

impl Upstream {
    async fn discover(issuer: &str) -> anyhow::Result<Self> {
        let url = format!("{issuer}/.well-known/openid-configuration");
        let document: Value = http_client()
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let endpoint = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(
            endpoint("issuer") == issuer,
            "the discovery document is of another issuer"
        );
        Ok(Self {
            keys: RemoteKeys::new(&endpoint("jwks_uri")),
            userinfo_endpoint: endpoint("userinfo_endpoint"),
        })
    }

    async fn user_info(&self, token: &str) -> Option<Map<String, Value>> {
        let request = http_client().get(&self.userinfo_endpoint).bearer_auth(token);
        request
            .send()
            .await
            .ok()?
            .error_for_status()
            .ok()?
            .json()
            .await
            .ok()
    }
}

/// Dex's `oidc` connector needs `sub`, `name`, `email` and `email_verified`.
fn read_identity(claims: &Map<String, Value>) -> Option<Identity> {
    let text = |name: &str| claims.get(name)?.as_str().map(str::to_owned);
    let groups = claims
        .get("groups")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    Some(Identity {
        user_id: text("sub")?,
        username: text("name")?,
        email: text("email")?,
        email_verified: claims.get("email_verified")?.as_bool()?,
        groups: groups
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    })
}
