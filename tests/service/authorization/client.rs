//! MCP clients at the token and revocation endpoints, and the logins that they hold.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokenward_control::app::Service;
use tokenward_control::authorization::client::{AuthenticationMethod, ClientOfLogin};
use tokenward_control::authorization::family::token::new_session_id;
use tokenward_control::authorization::login::AuthorizedLogin;
use tokenward_harness::secrets;

use super::stage::{HOST, RESOURCES};
use crate::deployment::Deployment;

/// The `client_id` of every login here.
pub(crate) const CLIENT: &str = "https://vscode.dev/oauth/client-metadata.json";
/// Its redirect URI, with the port of one run.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:33418/";
/// Its verifier.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// An answer of the token or revocation endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// A text member of the body.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// Status and OAuth error.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.text("error"))
    }

    /// The refresh token of a success.
    pub(crate) fn refresh_token(&self) -> anyhow::Result<String> {
        anyhow::ensure!(self.status == 200, "refused: {self:?}");
        Ok(self.text("refresh_token").to_owned())
    }
}

/// A client of some replicas. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    /// Its `client_id`.
    pub(crate) id: String,
}

impl Client {
    /// The client that the logins here are for.
    pub(crate) fn of<R, I>(deployment: &Deployment<R, I>) -> Self {
        Self {
            http: deployment.http.clone(),
            urls: deployment.urls.clone(),
            id: CLIENT.to_owned(),
        }
    }

    /// The same program at another replica.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self {
            urls: vec![url.to_owned()],
            ..self.clone()
        }
    }

    /// Posts a form to `path` of one replica.
    pub(crate) async fn post(
        &self,
        replica: usize,
        path: &str,
        form: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let url = format!("{}{path}", self.urls[replica]);
        self.send(self.http.post(url).form(form)).await
    }

    /// Sends a request to the authorization server.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Reply> {
        let response = request.header("host", HOST).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        for token in ["access_token", "refresh_token"] {
            if let Some(token) = body[token].as_str() {
                secrets::note(token);
            }
        }
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// A request builder for `path` of the first replica.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.urls[0]))
    }

    /// Redeems a code as its owner does.
    pub(crate) async fn redeem(&self, replica: usize, code: &str) -> anyhow::Result<Reply> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("client_id", self.id.as_str()),
        ];
        self.post(replica, "/token", &form).await
    }

    /// Refreshes.
    pub(crate) async fn refresh(&self, replica: usize, token: &str) -> anyhow::Result<Reply> {
        self.refresh_with(replica, token, &[]).await
    }

    /// Refreshes with more parameters.
    pub(crate) async fn refresh_with(
        &self,
        replica: usize,
        token: &str,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Reply> {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", self.id.as_str()),
        ];
        form.extend(more);
        self.post(replica, "/token", &form).await
    }

    /// Revokes.
    pub(crate) async fn revoke(&self, token: &str) -> anyhow::Result<Reply> {
        let form = [("token", token), ("client_id", self.id.as_str())];
        self.post(0, "/revoke", &form).await
    }
}

/// A login that has its session and its code, as the browser leg leaves it.
pub(crate) struct Login {
    /// `sid`.
    pub(crate) session: String,
    /// The code, unused.
    pub(crate) code: String,
}

/// A login of `session`, for the first server.
pub(crate) fn authorized(session: &str, logged_in_at_ms: u64) -> AuthorizedLogin {
    AuthorizedLogin {
        client: ClientOfLogin {
            id: CLIENT.to_owned(),
            authentication: AuthenticationMethod::None,
        },
        client_name: "Visual Studio Code".to_owned(),
        redirect_uri: REDIRECT.to_owned(),
        code_challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
        server: "first".to_owned(),
        resource: RESOURCES[0].to_owned(),
        scope: vec!["mcp".to_owned(), "offline_access".to_owned()],
        subject: "the-user".to_owned(),
        session: SecretString::from(session),
        logged_in_at_ms,
    }
}

/// Logs the user `email` in at Dex and at us, and issues the code with `service`.
pub(crate) async fn log_in<R>(
    deployment: &Deployment<R>,
    service: &Service,
    email: &str,
) -> anyhow::Result<Login> {
    let session = new_session_id()?.expose_secret().to_owned();
    deployment.log_in_as(&session, email).await?;
    let now_ms = u64::try_from(deployment.dex.clock().now_ms())?;
    let code = service.issue_code(&authorized(&session, now_ms)).await;
    let code = code.map_err(|refused| anyhow::anyhow!("no code: {refused:?}"))?;
    secrets::note(code.expose_secret());
    Ok(Login {
        session,
        code: code.expose_secret().to_owned(),
    })
}

/// The claims of an access token.
pub(crate) fn claims(token: &str) -> anyhow::Result<Value> {
    let payload = token.split('.').nth(1).context("a payload")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?)
}

/// What an error response must have, whatever went wrong: JSON with the error, not cached, readable in a browser.
pub(crate) fn assert_well_formed(reply: &Reply) {
    let header = |name: &str| {
        let value = reply.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    assert_eq!(header("cache-control"), "no-store", "{reply:?}");
    assert_eq!(header("pragma"), "no-cache", "{reply:?}");
    assert_eq!(header("access-control-allow-origin"), "*", "{reply:?}");
    assert_eq!(header("content-type"), "application/json", "{reply:?}");
    if reply.status == 503 {
        assert_eq!(reply.body["error"], json!("temporarily_unavailable"), "{reply:?}");
        assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    }
}
