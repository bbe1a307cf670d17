//! The `servers` list: the MCPServer CRD's `auth` blocks, with the rules of [`crate::servers::mcp_server`].

use secrecy::ExposeSecret as _;
use tokenward_protocol::filter_state::MAX_SERVERS;

use super::client_proof::{OF_EXCHANGES, Written, proof};
use super::findings::{Findings, shown};
use super::raw::{RawAuth, RawExchange, RawIssuer, RawServer, RawText, Text};
use super::resources;
use super::server::ServerConfig;
use super::server_routing::Routings;
use crate::servers::auth_fault::{AuthField, ClientSecret, ExchangeField};
use crate::servers::exchange_block::ExchangeBlock;
use crate::servers::mcp_server::AuthBlock;
use crate::upstream::dialect::Dialect;
use crate::yaml::{Location, Spanned};

/// `has_others`: servers come from Kubernetes too, so that the list may be empty.
pub(super) fn servers(
    findings: &mut Findings,
    raw: &Spanned<Vec<Spanned<RawServer>>>,
    issuers: &[Spanned<RawIssuer>],
    has_others: bool,
) -> Vec<ServerConfig> {
    if raw.value.is_empty() && !has_others {
        findings.add(
            raw.referenced,
            "servers is empty",
            "name at least one protected server",
        );
    }
    if raw.value.len() > MAX_SERVERS {
        findings.add(
            raw.referenced,
            format!("servers names more than {MAX_SERVERS} servers"),
            "run a second control and gateway for the others",
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut routings = Routings::new(issuers);
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
        let routing = routings.read(findings, &name.value, &server.value);
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
        servers.extend(checked_server(findings, name, auth).map(|checked| ServerConfig {
            resource,
            route: routing.route,
            home_issuer: routing.home_issuer,
            listener_405_after: routing.listener_405_after,
            ..checked
        }));
    }
    servers
}

fn is_server_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

/// The configuration of one server, by the rules of [`mcp_server`]; each broken rule is a finding at its field.
///
/// [`mcp_server`]: crate::servers::mcp_server
fn checked_server(findings: &mut Findings, name: &Text, auth: &Spanned<RawAuth>) -> Option<ServerConfig> {
    let client_id = client_id(findings, &auth.value);
    let block = auth_block(&auth.value, client_id.as_deref());
    let mut faults = Vec::new();
    let dialect = block.token_exchange.as_ref().map(ExchangeBlock::dialect);
    let client_secret = || client_secret(findings, &auth.value, dialect.unwrap_or_default());
    let server = block.server_config(&name.value, client_secret, &mut faults);
    for fault in faults {
        findings.add(location(auth, fault.field), fault.what, fault.hint);
    }
    server
}

/// `clientId`, read from its source if it has one. Where that cannot be read, which is a finding, a name stands for it, so that
/// one fault is not reported twice.
fn client_id(findings: &mut Findings, auth: &RawAuth) -> Option<String> {
    let exchange = &auth.token_exchange.as_ref()?.value;
    let client_id = &exchange.client_credentials.as_ref()?.client_id;
    Some(match &client_id.value {
        RawText::Written(text) => text.clone(),
        RawText::From(_) if !exchange.enabled => "unused".to_owned(),
        RawText::From(source) => findings
            .secret_of("clientId", client_id.referenced, source)
            .map_or_else(|| "unreadable".to_owned(), |text| text.expose_secret().to_owned()),
    })
}

fn auth_block<'a>(auth: &'a RawAuth, client_id: Option<&'a str>) -> AuthBlock<'a> {
    AuthBlock {
        kind: text(auth.kind.as_ref()),
        forward_token: auth.forward_token,
        forward: text(auth.forward.as_ref()),
        required_audiences: auth
            .required_audiences
            .iter()
            .map(|audience| audience.value.as_str())
            .collect(),
        token_exchange: auth.token_exchange.as_ref().map(|exchange| {
            let exchange = &exchange.value;
            ExchangeBlock {
                enabled: exchange.enabled,
                dialect: text(exchange.dialect.as_ref()),
                grant: text(exchange.grant.as_ref()),
                token_endpoint: text(exchange.token_endpoint.as_ref()),
                dex_token_endpoint: text(exchange.dex_token_endpoint.as_ref()),
                expected_issuer: text(exchange.expected_issuer.as_ref()),
                jwks_uri: text(exchange.jwks_uri.as_ref()),
                subject: text(exchange.subject.as_ref()),
                subject_token_type: text(exchange.subject_token_type.as_ref()),
                requested_token_type: text(exchange.requested_token_type.as_ref()),
                audience: exchange.audience.iter().map(|text| text.value.as_str()).collect(),
                connector_id: text(exchange.connector_id.as_ref()),
                scopes: text(exchange.scopes.as_ref()),
                parameters: (exchange.parameters.iter())
                    .map(|(name, value)| (name.as_str(), value.value.as_str()))
                    .collect(),
                verify: text(exchange.verify.as_ref()),
                client_id,
            }
        }),
    }
}

fn text(field: Option<&Text>) -> Option<&str> {
    field.map(|text| text.value.as_str())
}

fn client_secret(findings: &mut Findings, auth: &RawAuth, dialect: Dialect) -> Option<ClientSecret> {
    let exchange = auth.token_exchange.as_ref()?;
    let credentials = exchange.value.client_credentials.as_ref()?;
    let written = Written {
        names: &OF_EXCHANGES,
        secret: credentials.client_secret.as_ref(),
        key: credentials.client_key.as_ref(),
        auth: credentials.client_auth.as_ref(),
    };
    let proof = proof(findings, credentials.client_id.referenced, &written, dialect)?;
    Some(ClientSecret {
        secret: proof.secret,
        auth: proof.auth,
    })
}

/// The place of a field, or of the block that lacks it.
fn location(auth: &Spanned<RawAuth>, field: AuthField) -> Location {
    let exchange = auth.value.token_exchange.as_ref();
    let found = match field {
        AuthField::Auth => None,
        AuthField::Type => auth.value.kind.as_ref().map(|kind| kind.referenced),
        AuthField::Forward => auth.value.forward.as_ref().map(|forward| forward.referenced),
        AuthField::RequiredAudience(index) => auth
            .value
            .required_audiences
            .get(index)
            .map(|audience| audience.referenced),
        AuthField::TokenExchange => exchange.map(|exchange| exchange.referenced),
        AuthField::Exchange(field) => exchange.and_then(|exchange| exchange_location(&exchange.value, field)),
    };
    found.unwrap_or(auth.referenced)
}

fn exchange_location(exchange: &RawExchange, field: ExchangeField) -> Option<Location> {
    let text = match field {
        ExchangeField::Dialect => exchange.dialect.as_ref(),
        ExchangeField::Grant => exchange.grant.as_ref(),
        ExchangeField::TokenEndpoint => exchange.token_endpoint.as_ref(),
        ExchangeField::DexTokenEndpoint => exchange.dex_token_endpoint.as_ref(),
        ExchangeField::ExpectedIssuer => exchange.expected_issuer.as_ref(),
        ExchangeField::JwksUri => exchange.jwks_uri.as_ref(),
        ExchangeField::Subject => exchange.subject.as_ref(),
        ExchangeField::SubjectTokenType => exchange.subject_token_type.as_ref(),
        ExchangeField::RequestedTokenType => exchange.requested_token_type.as_ref(),
        ExchangeField::Audience(index) => exchange.audience.get(index),
        ExchangeField::ConnectorId => exchange.connector_id.as_ref(),
        ExchangeField::Scopes => exchange.scopes.as_ref(),
        ExchangeField::Parameter(index) => exchange.parameters.values().nth(index),
        ExchangeField::Verify => exchange.verify.as_ref(),
        ExchangeField::ClientId => {
            let credentials = exchange.client_credentials.as_ref()?;
            return Some(credentials.client_id.referenced);
        }
    };
    text.map(|text| text.referenced)
}
