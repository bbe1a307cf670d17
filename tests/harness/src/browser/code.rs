//! A login with a code and PKCE, as a client of the issuer makes it.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest as _;
use url::Url;

use super::Browser;
use crate::issuer::{LoginTokens, http_client};

/// A client's code flow (RFC 6749 §4.1) with PKCE S256 (RFC 7636).
#[derive(Debug, Clone)]
pub struct CodeLogin<'a> {
    /// The issuer; its endpoints are found by discovery.
    pub issuer: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// Its secret.
    pub client_secret: &'a str,
    /// Where the browser takes the code to; nothing listens there.
    pub redirect_uri: &'a str,
    /// Scopes.
    pub scope: &'a str,
}

/// A code with what its redemption needs.
#[derive(Debug, Clone)]
pub struct Code {
    /// The code.
    pub code: String,
    /// `code_verifier`.
    pub verifier: String,
}

impl CodeLogin<'_> {
    /// The issuer's authorization and token endpoints.
    ///
    /// # Errors
    /// When the issuer does not answer with a discovery document.
    pub async fn endpoints(&self) -> anyhow::Result<(String, String)> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer);
        let document: serde_json::Value = http_client()
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let endpoint = |name: &str| {
            let url = document[name].as_str();
            url.map(str::to_owned).with_context(|| format!("no {name}"))
        };
        Ok((endpoint("authorization_endpoint")?, endpoint("token_endpoint")?))
    }

    /// The user logs in with the browser; the code that comes of it.
    ///
    /// # Errors
    /// When the issuer refuses.
    pub async fn code(&self, browser: &Browser, email: &str) -> anyhow::Result<Code> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        let verifier = URL_SAFE_NO_PAD.encode(random);
        let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&verifier));
        let state = URL_SAFE_NO_PAD.encode(&random[..12]);
        let (authorization, _) = self.endpoints().await?;
        let mut start = Url::parse(&authorization)?;
        start.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", self.client_id),
            ("redirect_uri", self.redirect_uri),
            ("scope", self.scope),
            ("state", state.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("prompt", "consent"),
        ]);
        let is_redirect = |url: &Url| url.as_str().starts_with(self.redirect_uri);
        let back = browser.log_in(start.as_str(), email, is_redirect).await?;
        let value = |name: &str| {
            let mut pairs = back.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        ensure!(value("state") == Some(state), "another state came back: {back}");
        let code = value("code").with_context(|| format!("no code: {back}"))?;
        Ok(Code { code, verifier })
    }

    /// The whole login, with the client's secret in the header.
    ///
    /// # Errors
    /// When the issuer refuses.
    pub async fn log_in(&self, browser: &Browser, email: &str) -> anyhow::Result<LoginTokens> {
        let code = self.code(browser, email).await?;
        let (_, token_endpoint) = self.endpoints().await?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code.code),
            ("redirect_uri", self.redirect_uri),
            ("code_verifier", &code.verifier),
        ];
        let answer = http_client()
            .post(token_endpoint)
            .basic_auth(self.client_id, Some(self.client_secret))
            .form(&form)
            .send()
            .await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}
