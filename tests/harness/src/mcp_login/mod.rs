//! An MCP client that knows the URL of a server and nothing else: it finds the authorization server, registers there,
//! sends a user to its pages with a [`Browser`], and keeps the tokens (MCP 2025-11-25, Authorization).

mod discovery;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use sha2::Digest as _;
use url::Url;

use crate::browser::{Browser, Code};
use crate::issuer::http_client;
use crate::issuer::jose::Jws;
use crate::secrets;
use crate::world::Answer;

pub use discovery::Discovery;

/// A public client, registered at the authorization server of one MCP server.
#[derive(Debug, Clone)]
pub struct McpLogin {
    /// What the client found.
    pub discovery: Discovery,
    /// `client_id`.
    pub client_id: String,
    /// Where the browser takes the code to; nothing listens there.
    pub redirect_uri: String,
}

/// What the token endpoint gives.
#[derive(Debug, Clone, Deserialize)]
pub struct McpTokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// `expires_in`, seconds.
    pub expires_in: u64,
    /// `scope`.
    pub scope: String,
}

impl McpTokens {
    /// `sid` of the access token: the handle of the session that it belongs to.
    ///
    /// # Errors
    /// When it has none.
    pub fn session(&self) -> anyhow::Result<String> {
        let claims = Jws::read(&self.access_token).context("the access token cannot be read")?;
        claims.text("sid").map(str::to_owned).context("no sid")
    }
}

impl McpTokens {
    /// `kid` of the access token: the key that signed it.
    ///
    /// # Errors
    /// When it has none.
    pub fn key_id(&self) -> anyhow::Result<String> {
        let token = Jws::read(&self.access_token).context("the access token cannot be read")?;
        let key_id = token.header.get("kid").and_then(|key_id| key_id.as_str());
        Ok(key_id.context("no kid")?.to_owned())
    }
}

/// A request at the authorization endpoint that a browser is to open.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// The URL.
    pub url: Url,
    /// `code_verifier` of its challenge.
    pub verifier: String,
    /// `state`.
    pub state: String,
}

impl McpLogin {
    /// Finds the authorization server of the MCP server at `server_url` and registers a client there (RFC 7591).
    ///
    /// # Errors
    /// When anything on the way is not as the specifications have it.
    pub async fn register(server_url: &str, name: &str) -> anyhow::Result<Self> {
        let discovery = Discovery::of(server_url).await?;
        let redirect_uri = "http://127.0.0.1:33418/callback".to_owned();
        let registration = json!({
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        let endpoint = discovery.endpoint("registration_endpoint")?;
        let answer = http_client().post(endpoint).json(&registration).send().await?;
        let (status, body) = (answer.status().as_u16(), answer.text().await?);
        ensure!(status == 201, "the registration is answered {status}: {body}");
        let registered: serde_json::Value = serde_json::from_str(&body)?;
        let client_id = registered["client_id"].as_str().context("no client_id")?;
        Ok(Self {
            client_id: client_id.to_owned(),
            discovery,
            redirect_uri,
        })
    }

    /// A request with all that a client sends: PKCE S256, `resource` (RFC 8707), `state`, the scopes of the challenge
    /// and `offline_access`.
    ///
    /// # Errors
    /// When the metadata names no authorization endpoint.
    pub fn authorization_request(&self) -> anyhow::Result<AuthorizationRequest> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        let verifier = URL_SAFE_NO_PAD.encode(random);
        let state = URL_SAFE_NO_PAD.encode(&sha2::Sha256::digest(random)[..12]);
        let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&verifier));
        let mut url = Url::parse(self.discovery.endpoint("authorization_endpoint")?)?;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &format!("{} offline_access", self.discovery.scope)),
            ("state", &state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("resource", &self.discovery.resource),
        ]);
        Ok(AuthorizationRequest { url, verifier, state })
    }

    /// The user consents and logs in with the browser; the code that comes of it.
    ///
    /// # Errors
    /// When there is no code, or `state` or `iss` (RFC 9207) are not what they must be.
    pub async fn code(&self, browser: &Browser, email: &str) -> anyhow::Result<Code> {
        let request = self.authorization_request()?;
        let is_redirect = |url: &Url| url.as_str().starts_with(&self.redirect_uri);
        let back = browser.log_in(request.url.as_str(), email, is_redirect).await?;
        let value = |name: &str| {
            let mut pairs = back.query_pairs();
            let found = pairs.find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        ensure!(
            value("state") == Some(request.state),
            "another state came back: {back}"
        );
        let issuer = self.discovery.metadata["issuer"].as_str().map(str::to_owned);
        ensure!(value("iss") == issuer, "another issuer came back: {back}");
        let code = value("code").with_context(|| format!("no code: {back}"))?;
        secrets::note(&code);
        Ok(Code {
            code,
            verifier: request.verifier,
        })
    }

    /// The whole login.
    ///
    /// # Errors
    /// When the user is refused, or the code.
    pub async fn log_in(&self, browser: &Browser, email: &str) -> anyhow::Result<McpTokens> {
        let code = self.code(browser, email).await?;
        tokens(&self.redeem(&code).await?)
    }

    /// Presents a code at the token endpoint.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn redeem(&self, code: &Code) -> anyhow::Result<Answer> {
        self.token_request(&[
            ("grant_type", "authorization_code"),
            ("code", &code.code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &code.verifier),
        ])
        .await
    }

    /// Presents a refresh token at the token endpoint.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn refresh(&self, refresh_token: &str) -> anyhow::Result<Answer> {
        self.token_request(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)])
            .await
    }

    /// A request at the token endpoint with the client's id and the resource.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn token_request(&self, form: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut form = form.to_vec();
        form.extend([
            ("client_id", self.client_id.as_str()),
            ("resource", self.discovery.resource.as_str()),
        ]);
        let endpoint = self.discovery.endpoint("token_endpoint")?;
        let answer = http_client().post(endpoint).form(&form).send().await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await?,
        })
    }
}

/// The tokens of an answer of the token endpoint.
///
/// # Errors
/// When it is no 200 with tokens.
pub fn tokens(answer: &Answer) -> anyhow::Result<McpTokens> {
    ensure!(
        answer.status == 200,
        "no tokens, but {}: {}",
        answer.status,
        answer.body
    );
    let tokens: McpTokens = serde_json::from_str(&answer.body)?;
    for secret in [&tokens.access_token, &tokens.refresh_token] {
        secrets::note(secret);
    }
    Ok(tokens)
}
