//! The `servers` of the configuration.

use std::ops::RangeInclusive;
use std::rc::Rc;

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::json::{Json, quote};
use tokenward_protocol::route::Route;

use super::authorization_server::AuthorizationServer;
use super::error::BadConfig;
use super::fields::Fields;
use super::matchers::route;
use crate::metric::{NO_SERVER, ServerLabel};

/// Most servers with a label of their own in metrics, over the life of a filter.
pub(crate) const MOST_SERVERS: usize = 4096;

/// A protected server.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// Identifies it as long as the filter lives, whichever servers come and go.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its route, by which it is found without an annotation.
    pub route: Option<Route>,
    /// `resource_metadata` of its 401 challenges.
    pub resource_metadata: Option<String>,
    /// What an access token of control's own authorization server must be here; `None`: none is taken.
    pub access_tokens: Option<AccessTokens>,
    /// After this many refusals in a row a listener (`GET`) is answered 405, if at all.
    pub listener_405_after: Option<u32>,
    /// How its token is made.
    pub kind: AuthKind,
    /// What a presented token must be from which its token is made.
    pub presented: TokenShape,
    /// What the token that reaches the server must be, unless it is opaque.
    pub delivered: TokenShape,
    /// Whether nothing of that token is read: it is always one from control, which states its life.
    pub is_opaque: bool,
}

impl Server {
    /// Whether it takes presented tokens of `issuer` as they are: never where it gets opaque ones. Where one issuer is both the aggregator's and the server's, a
    /// presented token does not show whether it was exchanged, so each is.
    #[must_use]
    pub fn takes(&self, issuer: &str) -> bool {
        let own = &self.delivered.issuer;
        let is_distinct = || !same_bytes(own.as_bytes(), self.presented.issuer.as_bytes());
        !self.is_opaque
            && same_bytes(issuer.as_bytes(), own.as_bytes())
            && (self.kind == AuthKind::Forward || is_distinct())
    }

    /// Its label in metrics. Of servers past the bound of labels all are counted as none.
    #[must_use]
    pub fn label(&self) -> ServerLabel<'_> {
        if self.number >= MOST_SERVERS {
            return NO_SERVER;
        }
        ServerLabel {
            number: Some(self.number),
            name: &self.name,
        }
    }
}

/// The access tokens of control's own authorization server that a server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokens {
    /// The server's resource identifier (RFC 8707), which must be in `aud`.
    pub resource: String,
    /// `scope` of its challenges.
    pub scope: String,
}

/// How a server's token is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthKind {
    /// The user's own ID token is forwarded.
    Forward,
    /// The user's ID token is exchanged at the server's issuer.
    Exchange,
}

/// Issuer and audiences that a token must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenShape {
    /// Required `iss`, compared exactly (OpenID Connect Discovery §4.3).
    pub issuer: String,
    /// All of these must be in `aud`.
    pub audiences: Vec<String>,
}

/// Reads the list of servers, as many as `allowed`. `resource_metadata` is the general one, for servers without their own.
pub(super) fn servers(
    json: Json<'_>,
    resource_metadata: Option<&String>,
    authorization_server: Option<&AuthorizationServer>,
    allowed: RangeInclusive<usize>,
) -> Result<Vec<Server>, BadConfig> {
    let Json::List(items) = json else {
        return Err(BadConfig::new(
            "servers",
            format!("must be a list, not {}", json.kind()),
        ));
    };
    if !allowed.contains(&items.len()) {
        let (least, most) = allowed.into_inner();
        return Err(BadConfig::new(
            "servers",
            format!("name between {least} and {most} servers"),
        ));
    }
    let mut servers: Vec<Server> = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        let path = format!("servers[{number}]");
        let mut server = server(item, number, &path, authorization_server)?;
        if servers.iter().any(|other| other.name == server.name) {
            return Err(BadConfig::new(
                &format!("{path}.name"),
                format!("{} is used twice", quote(&server.name)),
            ));
        }
        server.resource_metadata = server.resource_metadata.or_else(|| resource_metadata.cloned());
        servers.push(server);
    }
    Ok(servers)
}

/// The servers of the configuration: their numbers are their positions.
pub(super) fn numbered(servers: Vec<Server>) -> Vec<Rc<Server>> {
    servers.into_iter().map(Rc::new).collect()
}

fn server(
    json: Json<'_>,
    number: usize,
    path: &str,
    authorization_server: Option<&AuthorizationServer>,
) -> Result<Server, BadConfig> {
    let mut fields = Fields::of(json, path)?;
    let name = fields.text("name")?;
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.len() > 253 || !name.bytes().all(name_byte) {
        return Err(fields.fault(
            "name",
            format!(
                "{} must be 1 to 253 letters, digits, '-', '_' or '.'",
                quote(&name)
            ),
        ));
    }
    let route = route(&mut fields)?;
    let resource = resource(&mut fields)?;
    let resource_metadata = metadata_url(&mut fields)?.or_else(|| resource.as_deref().and_then(metadata_of));
    let access_tokens = resource
        .zip(authorization_server)
        .map(|(resource, own)| AccessTokens {
            resource,
            scope: own.scope.clone(),
        });
    let listener_405_after = fields.optional_count("listener_405_after")?;
    let (kind, presented, delivered, is_opaque) = auth(fields.required("auth")?, &fields.at("auth"))?;
    fields.end()?;
    Ok(Server {
        number,
        name,
        route,
        resource_metadata,
        access_tokens,
        listener_405_after,
        kind,
        presented,
        delivered,
        is_opaque,
    })
}

fn auth(json: Json<'_>, path: &str) -> Result<(AuthKind, TokenShape, TokenShape, bool), BadConfig> {
    let mut fields = Fields::of(json, path)?;
    let kind = match fields.text("kind")?.as_str() {
        "forward" => AuthKind::Forward,
        "exchange" => AuthKind::Exchange,
        other => {
            return Err(fields.fault(
                "kind",
                format!(
                    "unknown auth kind {}; use \"forward\" or \"exchange\"",
                    quote(other)
                ),
            ));
        }
    };
    let delivered = TokenShape {
        issuer: fields.text("issuer")?,
        audiences: fields.texts("required_audiences")?,
    };
    let presented = match kind {
        AuthKind::Forward => delivered.clone(),
        AuthKind::Exchange => TokenShape {
            issuer: fields.text("subject_issuer")?,
            audiences: fields.texts("subject_audiences")?,
        },
    };
    let is_opaque = match fields.optional_text("delivered")?.as_deref() {
        None => false,
        Some("opaque") => true,
        Some(_) => return Err(fields.fault("delivered", "must be \"opaque\" or left out")),
    };
    fields.end()?;
    Ok((kind, presented, delivered, is_opaque))
}

/// The URL by which MCP clients know the server.
fn resource(fields: &mut Fields<'_>) -> Result<Option<String>, BadConfig> {
    let resource = fields.quotable_text("resource")?;
    match resource.as_deref() {
        Some(url) if metadata_of(url).is_none() => {
            Err(fields.fault("resource", "must be an http or https URL without a fragment"))
        }
        _ => Ok(resource),
    }
}

/// Where the document of a resource is: RFC 9728 §3.1 puts the well-known part between its host and its path.
fn metadata_of(resource: &str) -> Option<String> {
    let mut schemes = ["https://", "http://"].into_iter();
    let host_at = schemes.find(|scheme| resource.starts_with(scheme))?.len();
    let rest = resource.as_bytes().get(host_at..)?;
    let in_host = |byte: &&u8| !matches!(byte, b'/' | b'?');
    let host_bytes = rest.iter().take_while(in_host).count();
    if host_bytes == 0 || rest.contains(&b'#') {
        return None;
    }
    let (host, path) = resource.split_at_checked(host_at.saturating_add(host_bytes))?;
    let path = if path == "/" { "" } else { path };
    Some([host, "/.well-known/oauth-protected-resource", path].concat())
}

pub(super) fn metadata_url(fields: &mut Fields<'_>) -> Result<Option<String>, BadConfig> {
    fields.quotable_text("resource_metadata")
}

/// The authorization server's tokens must never reach a server, so no server may be one that takes them.
pub(super) fn check_apart(own: &AuthorizationServer, servers: &[Rc<Server>]) -> Result<(), BadConfig> {
    let takes = |server: &&Rc<Server>| {
        let issuers = [&server.delivered.issuer, &server.presented.issuer];
        issuers.into_iter().any(|issuer| own.is_issuer(issuer))
    };
    match servers.iter().find(takes) {
        None => Ok(()),
        Some(server) => Err(BadConfig::new(
            &format!("servers[{}].auth", server.number),
            "names the authorization server's issuer: its tokens never reach a server",
        )),
    }
}
