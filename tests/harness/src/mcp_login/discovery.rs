//! From a 401 to the authorization server: RFC 9728, then RFC 8414.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use url::Url;

use crate::issuer::http_client;

/// What a client finds out about an MCP server to which it has no token yet.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// `resource` of the protected resource metadata.
    pub resource: String,
    /// `scope` of the challenge; `mcp` where it names none.
    pub scope: String,
    /// The authorization server's metadata.
    pub metadata: Value,
}

impl Discovery {
    /// Calls the server without a token and follows what its 401 names.
    ///
    /// # Errors
    /// When the server does not answer 401 with a challenge, a document is missing, or names another resource or issuer.
    pub async fn of(server_url: &str) -> anyhow::Result<Self> {
        let http = http_client();
        let request = json!({"jsonrpc": "2.0", "id": 0, "method": "ping"});
        let answer = http.post(server_url).json(&request).send().await?;
        ensure!(answer.status() == 401, "without a token {}", answer.status());
        let challenge = answer
            .headers()
            .get("www-authenticate")
            .context("no challenge")?
            .to_str()?
            .to_owned();
        let document = parameter(&challenge, "resource_metadata").context("no resource_metadata")?;
        let resource = fetch(&document).await?;
        ensure!(
            resource["resource"] == server_url,
            "{document} is of another resource: {resource}"
        );
        let issuer = resource["authorization_servers"][0]
            .as_str()
            .context("no authorization server")?;
        let mut address = Url::parse(issuer)?;
        let path = format!(
            "/.well-known/oauth-authorization-server{}",
            address.path().trim_end_matches('/')
        );
        address.set_path(&path);
        let metadata = fetch(address.as_str()).await?;
        ensure!(
            metadata["issuer"] == issuer,
            "{address} is of another issuer: {metadata}"
        );
        Ok(Self {
            resource: server_url.to_owned(),
            scope: parameter(&challenge, "scope").unwrap_or_else(|| "mcp".to_owned()),
            metadata,
        })
    }

    /// An endpoint of the authorization server by its name in the metadata.
    ///
    /// # Errors
    /// When the metadata does not name it.
    pub fn endpoint(&self, name: &str) -> anyhow::Result<&str> {
        self.metadata[name].as_str().with_context(|| format!("no {name}"))
    }
}

async fn fetch(url: &str) -> anyhow::Result<Value> {
    let answer = http_client().get(url).send().await?;
    let (status, body) = (answer.status().as_u16(), answer.text().await?);
    ensure!(status == 200, "{url}: {status} {body}");
    serde_json::from_str(&body).with_context(|| format!("{url} is not JSON"))
}

/// A parameter of a challenge (RFC 9110 §11.6.1) in double quotes.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    Some(rest.split_once('"')?.0.to_owned())
}
