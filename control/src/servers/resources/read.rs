//! Reads one resource by the rules of its kind.

use serde_json::Value;
use tokenward_kubernetes::{Resource, Snapshot};
use url::Url;

use super::credentials::{Credentials, credentials};
use super::fault::Fault;
use super::route::{Route, route};
use crate::config::{Config, KubernetesConfig, ServerConfig};
use crate::servers::auth_fault::{AuthFault, AuthField, ClientSecret, ExchangeField};
use crate::servers::exchange_block::ExchangeBlock;
use crate::servers::exchange_path::is_exchange_endpoint;
use crate::servers::mcp_server::{AuthBlock, AuthType, BlockToken};

/// Audiences of one resource, and the longest one: all servers together fit into one list for filters.
const MOST_AUDIENCES: usize = 32;
const LONGEST_AUDIENCE: usize = 256;
/// Faults of one resource that a message names.
const MOST_FAULTS: usize = 3;

/// What a resource states.
pub(super) enum Reading {
    Server(Box<ServerConfig>),
    /// It needs no token of a user.
    NoServer(Fault),
    Fault(Fault),
}

/// A URL and how its server is protected, whatever the kind.
struct Protected<'a> {
    url_field: &'static str,
    url: &'a str,
    is_sse: bool,
    block: AuthBlock<'a>,
    home_issuer: Option<String>,
}

/// The server of `resource`, by itself.
pub(super) fn server(
    config: &Config,
    section: &KubernetesConfig,
    snapshot: &Snapshot,
    resource: &Resource,
) -> Reading {
    if resource.spec.is_null() {
        return Reading::Fault(Fault::new(
            "SpecTooLong",
            "spec is empty, or longer than 16 KiB: shorten it",
        ));
    }
    let protected = match resource.id.kind.group {
        "toolhive.stacklok.dev" => toolhive(config, resource),
        "kagent.dev" => kagent(section, resource),
        _ => muster(resource),
    };
    match protected {
        Ok(protected) => match configured(config, snapshot, resource, protected) {
            Ok(server) => Reading::Server(Box::new(server)),
            Err(fault) => Reading::Fault(fault),
        },
        Err(reading) => reading,
    }
}

fn no_server(message: &str) -> Reading {
    Reading::NoServer(Fault::new("NeedsNoToken", message))
}

fn text<'a>(map: &'a Value, name: &str) -> Option<&'a str> {
    map.get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn flag(map: &Value, name: &str) -> bool {
    map.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// muster's MCPServer.
fn muster(resource: &Resource) -> Result<Protected<'_>, Reading> {
    let spec = &resource.spec;
    let transport = text(spec, "type");
    if transport == Some("stdio") {
        return Err(no_server(
            "spec.type stdio runs inside the aggregator, and no gateway sees its requests",
        ));
    }
    let Some(auth) = spec.get("auth").filter(|auth| auth.is_object()) else {
        return Err(no_server("spec.auth is absent: the server needs no token"));
    };
    if auth
        .get("authorizationServer")
        .is_some_and(|server| !server.is_null())
    {
        return Err(no_server(
            "spec.auth.authorizationServer: it has an authorization server of its own, at which Tokenward does not log in",
        ));
    }
    let block = auth_block(auth).map_err(Reading::Fault)?;
    let is_told = !matches!(block.token(), BlockToken::Neither);
    match block.auth_type() {
        AuthType::None if is_told => {
            return Err(Reading::Fault(Fault::new(
                "Invalid",
                "spec.auth.type is none beside forwardToken or tokenExchange: set type: oauth, or remove the others",
            )));
        }
        AuthType::None => return Err(no_server("spec.auth.type none: the server needs no token")),
        AuthType::Oauth | AuthType::Unknown(_) => {}
    }
    let Some(url) = text(spec, "url") else {
        return Err(Reading::Fault(Fault::new(
            "InvalidURL",
            "spec.url is absent: add the URL of its route at the gateway",
        )));
    };
    Ok(Protected {
        url_field: "spec.url",
        url,
        is_sse: transport == Some("sse"),
        block,
        home_issuer: None,
    })
}

/// The `auth` block, whose client is in a Secret.
fn auth_block(auth: &Value) -> Result<AuthBlock<'_>, Fault> {
    let audiences = auth
        .get("requiredAudiences")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let required_audiences: Option<Vec<&str>> = audiences.iter().map(Value::as_str).collect();
    let exchange = auth.get("tokenExchange").filter(|exchange| exchange.is_object());
    Ok(AuthBlock {
        kind: text(auth, "type"),
        forward_token: flag(auth, "forwardToken"),
        forward: None,
        required_audiences: required_audiences.ok_or_else(|| {
            Fault::new(
                "Invalid",
                "spec.auth.requiredAudiences must be a list of texts: correct it",
            )
        })?,
        token_exchange: exchange.map(|exchange| ExchangeBlock {
            enabled: flag(exchange, "enabled"),
            dex_token_endpoint: text(exchange, "dexTokenEndpoint"),
            expected_issuer: text(exchange, "expectedIssuer"),
            connector_id: text(exchange, "connectorId"),
            scopes: text(exchange, "scopes"),
            ..ExchangeBlock::default()
        }),
    })
}

/// ToolHive's MCPServer and MCPRemoteProxy: its proxy takes ID tokens of an issuer with an audience of its own, at the URL
/// that it publishes.
fn toolhive<'a>(config: &Config, resource: &'a Resource) -> Result<Protected<'a>, Reading> {
    let spec = &resource.spec;
    let (field, reference) = match (spec.get("oidcConfigRef"), spec.get("oidcConfig")) {
        (Some(reference), _) if reference.is_object() => ("spec.oidcConfigRef.resourceUrl", reference),
        (_, Some(inline)) if inline.is_object() => ("spec.oidcConfig.resourceUrl", inline),
        _ => {
            return Err(no_server(
                "spec has no oidcConfigRef: the server takes no user's token",
            ));
        }
    };
    let Some(url) = text(reference, "resourceUrl") else {
        return Err(no_server(
            "spec.oidcConfigRef has no resourceUrl: the server is not published",
        ));
    };
    let inline = reference.get("inline");
    let audience = text(reference, "audience").or_else(|| text(inline?, "audience"));
    let Some(audience) = audience else {
        return Err(Reading::Fault(Fault::new(
            "Invalid",
            "spec.oidcConfigRef.audience is absent: name the audience of the tokens that the server takes",
        )));
    };
    let issuer = inline.and_then(|inline| text(inline, "issuer"));
    if let Some(issuer) = issuer.filter(|issuer| !config.issuers.iter().any(|home| home.issuer == *issuer)) {
        let shown: String = issuer.chars().take(80).collect();
        let what = format!(
            "spec.oidcConfig.inline.issuer {shown:?} is none at which users log in: use one of control's issuers"
        );
        return Err(Reading::Fault(Fault::new("IssuerUnknown", what)));
    }
    Ok(Protected {
        url_field: field,
        url,
        is_sse: text(spec, "transport") == Some("sse"),
        block: forwarding(vec![audience]),
        home_issuer: issuer.map(str::to_owned),
    })
}

/// kagent's RemoteMCPServer, which states nothing about tokens: the configuration does.
fn kagent<'a>(section: &'a KubernetesConfig, resource: &'a Resource) -> Result<Protected<'a>, Reading> {
    let Some(audiences) = section.forward_of(resource.id.kind, &resource.id.namespace) else {
        return Err(no_server("kubernetes.resources has no forward for this kind"));
    };
    let Some(url) = text(&resource.spec, "url") else {
        return Err(Reading::Fault(Fault::new(
            "InvalidURL",
            "spec.url is absent: add the URL of its route at the gateway",
        )));
    };
    Ok(Protected {
        url_field: "spec.url",
        url,
        is_sse: text(&resource.spec, "protocol") == Some("SSE"),
        block: forwarding(audiences.iter().map(String::as_str).collect()),
        home_issuer: None,
    })
}

fn forwarding(required_audiences: Vec<&str>) -> AuthBlock<'_> {
    AuthBlock {
        forward_token: true,
        required_audiences,
        ..AuthBlock::default()
    }
}

fn configured(
    config: &Config,
    snapshot: &Snapshot,
    resource: &Resource,
    protected: Protected<'_>,
) -> Result<ServerConfig, Fault> {
    let Route {
        route,
        resource: identifier,
    } = route(protected.url_field, protected.url, protected.is_sse)?;
    let mut block = protected.block;
    let name = &resource.id.name;
    let endpoint = block
        .token_exchange
        .as_ref()
        .and_then(|exchange| remote_endpoint(exchange, name));
    let mut client: Option<Credentials> = None;
    if let Some(exchange) = block.token_exchange.as_mut().filter(|exchange| exchange.enabled) {
        client = Some(credentials(snapshot, resource)?);
        exchange.client_id = client.as_ref().map(|client| client.client_id.as_str());
        exchange.dex_token_endpoint = endpoint.as_deref().or(exchange.dex_token_endpoint);
    }
    let audiences = &block.required_audiences;
    if audiences.len() > MOST_AUDIENCES || audiences.iter().any(|audience| audience.len() > LONGEST_AUDIENCE)
    {
        let text = format!(
            "the required audiences are too many or too long: name at most {MOST_AUDIENCES}, of {LONGEST_AUDIENCE} bytes"
        );
        return Err(Fault::new("Invalid", text));
    }
    let mut faults = Vec::new();
    let secret = || {
        client.as_ref().map(|client| ClientSecret {
            secret: client.client_secret.clone(),
            auth: None,
        })
    };
    let server = block.server_config(name, secret, &mut faults);
    match server.filter(|_| faults.is_empty()) {
        Some(server) => Ok(ServerConfig {
            route,
            resource: identifier.filter(|_| config.authorization.is_some()),
            home_issuer: protected.home_issuer,
            ..server
        }),
        None => Err(invalid(&faults)),
    }
}

/// The remote issuer's own token endpoint, where the resource leads the aggregator's exchanges through control.
fn remote_endpoint(exchange: &ExchangeBlock<'_>, name: &str) -> Option<String> {
    let url = Url::parse(exchange.dex_token_endpoint?).ok()?;
    let issuer = exchange
        .expected_issuer
        .filter(|_| is_exchange_endpoint(&url, name))?;
    Some(format!("{}/token", issuer.trim_end_matches('/')))
}

fn invalid(faults: &[AuthFault]) -> Fault {
    let texts: Vec<String> = faults
        .iter()
        .take(MOST_FAULTS)
        .map(|fault| format!("{}: {}: {}", place(fault.field), fault.what, fault.hint))
        .collect();
    Fault::new("Invalid", texts.join(". "))
}

fn place(field: AuthField) -> String {
    const EXCHANGE: &str = "spec.auth.tokenExchange";
    match field {
        AuthField::Auth => "spec.auth".to_owned(),
        AuthField::Type => "spec.auth.type".to_owned(),
        AuthField::Forward => "spec.auth.forward".to_owned(),
        AuthField::RequiredAudience(index) => format!("spec.auth.requiredAudiences[{index}]"),
        AuthField::TokenExchange => EXCHANGE.to_owned(),
        AuthField::Exchange(ExchangeField::ClientId) => format!("{EXCHANGE}.clientCredentialsSecretRef"),
        AuthField::Exchange(field) => format!("{EXCHANGE}.{}", field.name()),
    }
}
