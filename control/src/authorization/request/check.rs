//! Judges an authorization request of a known client. Pure.

use super::parameters::Parameters;
use crate::authorization::login::is_same_resource;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};
use crate::config::{Resource, ServerConfig};

/// The scope of every access token of ours.
pub const SCOPE: &str = "mcp";
/// The scope with which clients ask for a refresh token; they get one in any case.
pub const OFFLINE_ACCESS: &str = "offline_access";

/// What a request asks for, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The server that the login is for.
    pub server: String,
    /// Its resource identifier.
    pub resource: String,
    /// The granted scopes.
    pub scope: Vec<String>,
    /// `code_challenge` (S256).
    pub code_challenge: String,
}

/// Judges `parameters`. A client that names no resource (MCP of 2025-03-26) gets `default_server`, or the only server.
///
/// # Errors
/// [`AuthorizationRefused`], for the client.
pub fn check(
    parameters: &Parameters,
    servers: &[ServerConfig],
    default_server: Option<&str>,
) -> Result<Asked, AuthorizationRefused> {
    if let Some(name) = parameters.repeated {
        return Err(AuthorizationRefused::bad_request(format!(
            "{name} occurs more than once"
        )));
    }
    match parameters.response_type.as_deref() {
        Some("code") => {}
        Some(_) => return Err(AuthorizationRefusal::UnsupportedResponseType.into()),
        None => return Err(AuthorizationRefused::bad_request("response_type is missing")),
    }
    if parameters
        .response_mode
        .as_deref()
        .is_some_and(|mode| mode != "query")
    {
        return Err(AuthorizationRefused::bad_request("response_mode is query here"));
    }
    let code_challenge = code_challenge(parameters)?;
    let (server, resource) = target(&parameters.resources, servers, default_server)?;
    if has_none(parameters.prompt.as_deref()) {
        return Err(AuthorizationRefusal::LoginRequired.into());
    }
    Ok(Asked {
        server: server.name.clone(),
        resource: resource.identifier.clone(),
        scope: granted_scope(parameters.scope.as_deref()),
        code_challenge,
    })
}

/// PKCE with S256 only: `plain`, which an absent method means, does not protect the code (RFC 7636 §4.3, OAuth 2.1 §7.5.1).
fn code_challenge(parameters: &Parameters) -> Result<String, AuthorizationRefused> {
    let bad = AuthorizationRefused::bad_request;
    let Some(challenge) = &parameters.code_challenge else {
        return Err(bad("code_challenge is missing: PKCE is required"));
    };
    if parameters.code_challenge_method.as_deref() != Some("S256") {
        return Err(bad("code_challenge_method must be S256"));
    }
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(43..=128).contains(&challenge.len()) || !challenge.bytes().all(unreserved) {
        return Err(bad(
            "code_challenge has 43 to 128 letters, digits, and -._~ (RFC 7636 §4.2)",
        ));
    }
    Ok(challenge.clone())
}

/// The server of `requested` (RFC 8707 §2): a token is for one.
fn target<'a>(
    requested: &[String],
    servers: &'a [ServerConfig],
    default_server: Option<&str>,
) -> Result<(&'a ServerConfig, &'a Resource), AuthorizationRefused> {
    let invalid = |cause: &str| AuthorizationRefused::new(AuthorizationRefusal::InvalidTarget).because(cause);
    let mut open = servers
        .iter()
        .filter_map(|server| Some((server, server.resource.as_ref()?)));
    match requested {
        [] => {
            let default =
                default_server.and_then(|name| open.clone().find(|(server, _)| server.name == name));
            match (default, open.next(), open.next()) {
                (Some(default), ..) => Ok(default),
                (None, Some(only), None) => Ok(only),
                _ => Err(invalid("resource is missing, and there are several servers")),
            }
        }
        [resource] => open
            .find(|(_, known)| is_same_resource(&known.identifier, resource))
            .ok_or_else(|| invalid("no server here has this resource")),
        _ => Err(invalid("a login is for one resource")),
    }
}

/// Whether `prompt` asks for an answer without the user (OpenID Connect Core §3.1.2.1).
fn has_none(prompt: Option<&str>) -> bool {
    prompt.is_some_and(|prompt| prompt.split(' ').any(|value| value == "none"))
}

/// The known scopes among `requested`. Every login has [`SCOPE`]: without it the token opens nothing.
fn granted_scope(requested: Option<&str>) -> Vec<String> {
    let offline = requested.is_some_and(|scope| scope.split(' ').any(|scope| scope == OFFLINE_ACCESS));
    let mut granted = vec![SCOPE.to_owned()];
    granted.extend(offline.then(|| OFFLINE_ACCESS.to_owned()));
    granted
}
