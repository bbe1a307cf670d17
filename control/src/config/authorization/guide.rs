//! What an operator does at the issuer, and what a configuration leaves out: `tokenward check` prints it.

use std::fmt::Write as _;

use super::AuthorizationConfig;
use crate::config::Config;

/// Path of the redirect URI that is registered at the issuer.
const CALLBACK_PATH: &str = "/authorize/callback";

impl AuthorizationConfig {
    /// The redirect URI to register at the issuer of the upstream login, byte for byte.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}{CALLBACK_PATH}", self.issuer)
    }
}

/// What remains to be done at the issuer, with the client's entry for Dex, and notes about servers; `None` without an
/// authorization server.
#[must_use]
pub fn guide(config: &Config) -> Option<String> {
    let authorization = config.authorization.as_ref()?;
    let login = &authorization.login;
    let callback = authorization.callback();
    let mut text = format!(
        "authorization server {}: users log in at {}, client {}\n\
         register this redirect URI for that client at the issuer: {callback}\n\
         its entry for Dex:\n\
         \x20 staticClients:\n\
         \x20 - id: {client}\n\
         \x20   name: Tokenward\n\
         \x20   secretEnv: TOKENWARD_CLIENT_SECRET\n\
         \x20   redirectURIs:\n\
         \x20   - {callback}\n",
        authorization.issuer,
        login.issuer,
        login.client_id,
        client = yaml_text(&login.client_id),
    );
    for audience in foreign_audiences(config, &login.client_id) {
        let _ = writeln!(
            text,
            "tokens for the audience {audience} need, at Dex, trustedPeers: [{}] in the entry of {audience}",
            login.client_id
        );
    }
    for server in config.servers.iter().filter(|server| server.resource.is_none()) {
        let _ = writeln!(
            text,
            "note: server {} has no resource, so it takes no access token of this authorization server",
            server.name
        );
    }
    Some(text)
}

/// Audiences of forwarded tokens other than the client itself (Dex: `audience:server:client_id:X`).
fn foreign_audiences<'a>(config: &'a Config, client_id: &str) -> Vec<&'a str> {
    let mut audiences: Vec<&str> = Vec::new();
    for server in config.servers.iter().filter(|server| server.resource.is_some()) {
        if server.token.is_forward() {
            for audience in &server.required_audiences {
                if audience != client_id && !audiences.contains(&audience.as_str()) {
                    audiences.push(audience);
                }
            }
        }
    }
    audiences
}

/// A plain scalar where that is the same text, else a quoted one.
fn yaml_text(text: &str) -> String {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if is_plain {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}
