//! Known MCP clients with a metadata document: the one table that the default of `clients.metadata_documents.hosts`, the
//! tests and the documentation read.
//!
//! The values are as the documents were served in September 2026. The table grants nothing by itself: a document is fetched
//! from its host, and what it states counts.

/// A known client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownClient {
    /// Its name in the documentation.
    pub name: &'static str,
    /// `client_id`: the URL of its metadata document.
    pub client_id: &'static str,
    /// Its redirect URIs; loopback ones without a port, if it chooses one itself.
    pub redirect_uris: &'static [&'static str],
    /// Its authentication method.
    pub authentication: &'static str,
    /// What is worth knowing of it.
    pub note: &'static str,
}

/// The known clients.
pub const KNOWN_CLIENTS: [KnownClient; 7] = [
    KnownClient {
        name: "Claude (claude.ai, Desktop, mobile)",
        client_id: "https://claude.ai/oauth/mcp-oauth-client-metadata",
        redirect_uris: &["https://claude.ai/api/mcp/auth_callback"],
        authentication: "none",
        note: "hosted: the vendor's servers hold the tokens",
    },
    KnownClient {
        name: "Claude Code",
        client_id: "https://claude.ai/oauth/claude-code-client-metadata",
        redirect_uris: &["http://localhost/callback", "http://127.0.0.1/callback"],
        authentication: "none",
        note: "sends a port of the moment",
    },
    KnownClient {
        name: "VS Code",
        client_id: "https://vscode.dev/oauth/client-metadata.json",
        redirect_uris: &["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
        authentication: "none",
        note: "falls back to another port if 33418 is taken; its document also lists device_code",
    },
    KnownClient {
        name: "ChatGPT",
        client_id: "https://chatgpt.com/oauth/client.json",
        redirect_uris: &["https://chatgpt.com/connector_platform_oauth_redirect"],
        authentication: "private_key_jwt or none",
        note: "hosted; needs iss in authorization responses",
    },
    KnownClient {
        name: "Codex",
        client_id: "https://chatgpt.com/oauth/codex/client.json",
        redirect_uris: &["http://127.0.0.1/callback"],
        authentication: "none",
        note: "sends a port of the moment",
    },
    KnownClient {
        name: "Zed",
        client_id: "https://zed.dev/oauth/client-metadata.json",
        redirect_uris: &["http://127.0.0.1/callback"],
        authentication: "none",
        note: "sends a port of the moment",
    },
    KnownClient {
        name: "opencode",
        client_id: "https://opencode.ai/oauth/opencode/client.json",
        redirect_uris: &["http://127.0.0.1/callback"],
        authentication: "none",
        note: "sends a port of the moment",
    },
];

/// Cursor's redirect URI, the default of `clients.private_use_redirects`. Cursor has no metadata document: it registers, with
/// this URI and two others at once.
pub const CURSOR_REDIRECT_URI: &str = "cursor://anysphere.cursor-mcp/oauth/callback";

/// The hosts of the known clients' documents, each once: the default of `clients.metadata_documents.hosts`.
#[must_use]
pub fn known_hosts() -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for client in &KNOWN_CLIENTS {
        let host = client.client_id.split('/').nth(2).unwrap_or_default();
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
    }
    hosts
}
