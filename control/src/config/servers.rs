//! The `servers` list: the MCPServer CRD's `auth` blocks, with the CRD's own rules.

use url::Url;

use super::findings::{Findings, shown};
use super::raw::{RawAuth, RawExchange, RawServer, Text};
use super::{ExchangeConfig, ServerConfig, TokenSource, resources};
use crate::yaml::Spanned;

/// The CRD's default.
const DEFAULT_SCOPES: &str = "openid profile email groups";

pub(super) fn servers(findings: &mut Findings, raw: &Spanned<Vec<Spanned<RawServer>>>) -> Vec<ServerConfig> {
    if raw.value.is_empty() {
        findings.add(
            raw.referenced,
            "servers is empty",
            "name at least one protected server",
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut resources = Vec::new();
    let mut servers = Vec::new();
    for server in &raw.value {
        let Some(name) = &server.value.name else {
            findings.add(
                server.referenced,
                "a server has no name",
                "add name: the name that the gateway uses for it",
            );
            continue;
        };
        if !is_server_name(&name.value) {
            findings.add(
                name.referenced,
                format!("server name {:?} is not usable", shown(&name.value)),
                "use 1 to 253 letters, digits, '-', '_', '.' or '/'",
            );
        }
        if seen.contains(&name.value.as_str()) {
            findings.add(
                name.referenced,
                format!("server {:?} is named twice", shown(&name.value)),
                "remove or rename one of them",
            );
        }
        seen.push(&name.value);
        let Some(auth) = &server.value.auth else {
            findings.add(
                name.referenced,
                format!("server {:?} has no auth", shown(&name.value)),
                "add auth with forwardToken: true or tokenExchange",
            );
            continue;
        };
        let resource = server
            .value
            .resource
            .as_ref()
            .and_then(|text| resources::resource(findings, text, &mut resources));
        servers
            .extend(checked_server(findings, name, auth).map(|checked| ServerConfig { resource, ..checked }));
    }
    servers
}

fn is_server_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

/// What may stand in `audience:server:client_id:X` without ending the scope and starting another.
fn is_audience(audience: &str) -> bool {
    !audience.is_empty()
        && audience
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte))
}

/// The CRD's `^[a-zA-Z][a-zA-Z0-9_-]*$`.
fn is_connector_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn checked_server(findings: &mut Findings, name: &Text, auth: &Spanned<RawAuth>) -> Option<ServerConfig> {
    let server = shown(&name.value);
    if let Some(kind) = &auth.value.kind
        && kind.value != "oauth"
    {
        findings.add(
            kind.referenced,
            format!(
                "auth.type {:?} of server {server:?} needs no tokens",
                shown(&kind.value)
            ),
            "write type: oauth, or leave the server out",
        );
    }
    for audience in &auth.value.required_audiences {
        if !is_audience(&audience.value) {
            findings.add(
                audience.referenced,
                format!("required audience {:?} is not usable", shown(&audience.value)),
                "use letters, digits, '_', '.', ':' or '-' only",
            );
        }
    }
    let required_audiences: Vec<String> = auth
        .value
        .required_audiences
        .iter()
        .map(|audience| audience.value.clone())
        .collect();
    // As in the CRD, an enabled exchange wins over forwardToken.
    let exchange = auth.value.token_exchange.as_ref().filter(|raw| raw.value.enabled);
    let token = match exchange {
        Some(raw) => TokenSource::Exchange(Box::new(checked_exchange(
            findings,
            &server,
            raw,
            &required_audiences,
        )?)),
        None if auth.value.forward_token => TokenSource::Forward,
        None => {
            findings.add(
                auth.referenced,
                format!("server {server:?} has neither forwardToken nor an enabled tokenExchange"),
                "set forwardToken: true, or tokenExchange with enabled: true",
            );
            return None;
        }
    };
    Some(ServerConfig {
        name: name.value.clone(),
        resource: None,
        required_audiences,
        token,
    })
}

fn checked_exchange(
    findings: &mut Findings,
    server: &str,
    raw: &Spanned<RawExchange>,
    required_audiences: &[String],
) -> Option<ExchangeConfig> {
    let mut missing = |field: &str| {
        findings.add(
            raw.referenced,
            format!("tokenExchange of server {server:?} has no {field}"),
            format!("add {field}"),
        );
    };
    if raw.value.dex_token_endpoint.is_none() {
        missing("dexTokenEndpoint");
    }
    if raw.value.connector_id.is_none() {
        missing("connectorId");
    }
    if raw.value.client_credentials.is_none() {
        missing("clientCredentials");
    }
    let endpoint_text = raw.value.dex_token_endpoint.as_ref()?;
    let connector_id = raw.value.connector_id.as_ref()?;
    let credentials = raw.value.client_credentials.as_ref()?;
    let token_endpoint = findings.endpoint("dexTokenEndpoint", endpoint_text);
    if !is_connector_id(&connector_id.value) {
        findings.add(
            connector_id.referenced,
            format!("connectorId {:?} is not usable", shown(&connector_id.value)),
            "start with a letter, then letters, digits, '_' or '-'",
        );
    }
    if credentials.client_id.value.is_empty() {
        findings.add(
            credentials.client_id.referenced,
            format!("clientId of server {server:?} is empty"),
            "name the client that exchanges at the remote issuer",
        );
    }
    let scopes = scopes(findings, raw.value.scopes.as_ref());
    let client_secret = findings.secret("clientSecret", &credentials.client_secret);
    let client_auth = findings.client_auth("clientAuth", credentials.client_auth.as_ref());
    let expected_issuer = raw.value.expected_issuer.as_ref().map(|text| {
        findings
            .issuer("expectedIssuer", text)
            .map(|_| text.value.clone())
    });
    let jwks_uri = raw
        .value
        .jwks_uri
        .as_ref()
        .map(|text| findings.endpoint("jwksUri", text));
    let base = token_endpoint
        .as_ref()
        .filter(|url| url.query().is_none())
        .and_then(|url| url.as_str().strip_suffix("/token"))
        .map(str::to_owned);
    if token_endpoint.is_some() && base.is_none() && (expected_issuer.is_none() || jwks_uri.is_none()) {
        findings.add(
            endpoint_text.referenced,
            "the issuer and its keys cannot be told from a dexTokenEndpoint that does not end in /token",
            "add expectedIssuer and jwksUri",
        );
    }
    let keys_beside = base
        .as_ref()
        .and_then(|base| Url::parse(&format!("{base}/keys")).ok());
    Some(ExchangeConfig {
        token_endpoint: token_endpoint?,
        expected_issuer: expected_issuer.unwrap_or(base)?,
        jwks_uri: jwks_uri.unwrap_or(keys_beside)?,
        connector_id: connector_id.value.clone(),
        scopes: with_audiences(&scopes, required_audiences, &credentials.client_id.value),
        client_id: credentials.client_id.value.clone(),
        client_secret: client_secret?,
        client_auth,
    })
}

fn scopes(findings: &mut Findings, text: Option<&Text>) -> String {
    let Some(text) = text else {
        return DEFAULT_SCOPES.to_owned();
    };
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    let usable = text
        .value
        .split_ascii_whitespace()
        .all(|scope| scope.bytes().all(printable));
    if !usable || !text.value.split_ascii_whitespace().any(|scope| scope == "openid") {
        findings.add(
            text.referenced,
            format!("scopes {:?} must be a list with openid in it", shown(&text.value)),
            format!("write it as in {DEFAULT_SCOPES:?}"),
        );
    }
    text.value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Dex puts the exchanging client itself into `aud`; every other audience needs its cross-client scope.
fn with_audiences(scopes: &str, required_audiences: &[String], client_id: &str) -> String {
    let mut scopes: Vec<String> = scopes.split(' ').map(str::to_owned).collect();
    let cross_client = |audience: &str| format!("audience:server:client_id:{audience}");
    for audience in required_audiences {
        let scope = cross_client(audience);
        if audience != client_id && !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    // With a cross-client scope Dex leaves the client out of `aud` unless it is asked for as well.
    let own = cross_client(client_id);
    let crosses = scopes
        .iter()
        .any(|scope| scope.starts_with("audience:server:client_id:"));
    if crosses && required_audiences.iter().any(|audience| audience == client_id) && !scopes.contains(&own) {
        scopes.push(own);
    }
    scopes.join(" ")
}
