//! One MCPServer resource.

use super::Note;
use super::reader::{Reader, flag, member, text};
use super::shape::{AUTH, EXCHANGE, METADATA, SECRET_REFERENCE, SPEC};
use crate::servers::mcp_server::{AuthBlock, AuthType, BlockToken, ExchangeBlock};
use crate::yaml::{Node, Placed};

/// A server that Tokenward can protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedServer {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.url`.
    pub url: Option<String>,
    /// `spec.auth.forwardToken`.
    pub forward_token: bool,
    /// `spec.auth.requiredAudiences`.
    pub required_audiences: Vec<String>,
    /// `spec.auth.tokenExchange`, where it is enabled.
    pub exchange: Option<ImportedExchange>,
}

/// `spec.auth.tokenExchange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedExchange {
    /// `dexTokenEndpoint`.
    pub token_endpoint: String,
    /// `expectedIssuer`.
    pub expected_issuer: Option<String>,
    /// `connectorId`.
    pub connector_id: String,
    /// `scopes`.
    pub scopes: Option<String>,
}

/// Where a resource of the aggregator's comes from.
const API_GROUP: &str = "muster.giantswarm.io/";

/// Reads one resource; what it lacks, has too much or has in another type is noted. `None`: there is nothing to protect, or
/// it cannot be told how.
pub(super) fn read(notes: &mut Vec<Note>, resource: &Placed) -> Option<ImportedServer> {
    let mut reader = Reader {
        notes,
        server: String::new(),
        is_unsure: false,
    };
    let metadata = member(resource, "metadata").filter(|metadata| matches!(metadata.node, Node::Map(_)));
    let Some(name) = metadata.and_then(|metadata| text(metadata, "name")) else {
        return reader.left_out(resource, "without metadata.name");
    };
    name.clone_into(&mut reader.server);
    if let Some(metadata) = metadata {
        reader.look_at("metadata", metadata, &METADATA, true);
    }
    if let Some(group) = text(resource, "apiVersion").filter(|version| !version.starts_with(API_GROUP)) {
        let says = format!(
            "its apiVersion {group:?} is not the aggregator's ({API_GROUP}…): it is read all the same"
        );
        reader.note(resource.place, &says);
    }
    let Some(spec) = member(resource, "spec") else {
        return reader.left_out(resource, "it has no spec");
    };
    let Node::Map(_) = &spec.node else {
        return reader.left_out(spec, &format!("spec must be a map, and is {}", spec.node.kind()));
    };
    reader.look_at("spec", spec, &SPEC, false);
    reader.protected(spec, metadata)
}

impl Reader<'_> {
    fn protected(&mut self, spec: &Placed, metadata: Option<&Placed>) -> Option<ImportedServer> {
        match text(spec, "type") {
            Some("stdio") => {
                return self.left_out(
                    spec,
                    "type stdio runs inside the aggregator, and no gateway sees its requests",
                );
            }
            None | Some("streamable-http" | "sse") => {}
            Some(other) => {
                let says =
                    format!("spec.type {other:?} is not known here; it is imported like streamable-http");
                self.note(spec.place, &says);
            }
        }
        let Some(auth) = member(spec, "auth") else {
            return self.left_out(spec, "it has no auth, so it needs no tokens");
        };
        self.look_at("spec.auth", auth, &AUTH, false);
        let audiences = self.audiences(auth);
        if let Some(exchange) = member(auth, "tokenExchange") {
            self.look_at("spec.auth.tokenExchange", exchange, &EXCHANGE, false);
            if let Some(reference) = member(exchange, "clientCredentialsSecretRef") {
                let block = "spec.auth.tokenExchange.clientCredentialsSecretRef";
                self.look_at(block, reference, &SECRET_REFERENCE, false);
            }
        }
        if self.is_unsure {
            return self.left_out(
                auth,
                "how it is to be protected cannot be told: correct the resource",
            );
        }
        if let Some(server) = member(auth, "authorizationServer") {
            return self.left_out(
                server,
                "auth.authorizationServer: it has an authorization server of its own, which Tokenward does not log in at",
            );
        }
        let block = auth_block(auth, audiences);
        match block.auth_type() {
            AuthType::Oauth => {}
            AuthType::None => return self.left_out(auth, "auth.type none needs no tokens"),
            AuthType::Unknown(other) => {
                return self.left_out(auth, &format!("auth.type {other:?} is neither oauth nor none"));
            }
        }
        let exchange = match block.token() {
            BlockToken::Exchange(exchange) => self.exchange(auth, exchange, block.forward_token),
            BlockToken::Forward | BlockToken::Neither => None,
        };
        if !block.forward_token && exchange.is_none() {
            return self.left_out(auth, "auth has neither forwardToken nor a usable tokenExchange");
        }
        if flag(spec, "suspended") {
            self.note(spec.place, "it is suspended; it is imported all the same");
        }
        Some(ImportedServer {
            name: self.server.clone(),
            namespace: metadata
                .and_then(|metadata| text(metadata, "namespace"))
                .map(str::to_owned),
            url: text(spec, "url").map(str::to_owned),
            forward_token: block.forward_token,
            required_audiences: block.required_audiences.iter().map(ToString::to_string).collect(),
            exchange,
        })
    }

    fn audiences<'a>(&mut self, auth: &'a Placed) -> Vec<&'a str> {
        let Some(Node::List(items)) = member(auth, "requiredAudiences").map(|list| &list.node) else {
            return Vec::new();
        };
        let mut audiences = Vec::new();
        for item in items {
            match &item.node {
                Node::Text(audience) => audiences.push(audience.as_str()),
                other => {
                    let says = format!("a required audience must be a text, and is {}", other.kind());
                    self.note(item.place, &says);
                    self.is_unsure = true;
                }
            }
        }
        audiences
    }

    /// An enabled exchange. As in the aggregator, it counts when it lacks no required field.
    fn exchange(
        &mut self,
        auth: &Placed,
        exchange: &ExchangeBlock<'_>,
        forward_token: bool,
    ) -> Option<ImportedExchange> {
        let place = member(auth, "tokenExchange")?;
        let (Some(token_endpoint), Some(connector_id)) = (exchange.token_endpoint, exchange.connector_id)
        else {
            let instead = if forward_token {
                "the user's own token is forwarded, as the aggregator does"
            } else {
                "it cannot be used"
            };
            let says = format!("tokenExchange is enabled without dexTokenEndpoint or connectorId; {instead}");
            self.note(place.place, &says);
            return None;
        };
        self.credentials(place);
        Some(ImportedExchange {
            token_endpoint: token_endpoint.to_owned(),
            expected_issuer: exchange.expected_issuer.map(str::to_owned),
            connector_id: connector_id.to_owned(),
            scopes: exchange.scopes.map(str::to_owned),
        })
    }

    /// The credentials are in a Secret that is not in the file: say where to find them.
    fn credentials(&mut self, exchange: &Placed) {
        let Some(reference) = member(exchange, "clientCredentialsSecretRef") else {
            self.note(
                exchange.place,
                "tokenExchange has no clientCredentialsSecretRef: fill in clientCredentials of a client of the remote \
                 issuer",
            );
            return;
        };
        let or = |name, default| text(reference, name).unwrap_or(default).to_owned();
        let says = format!(
            "fill in clientId from key {:?} of the secret {}/{}, and mount its key {:?} as the file of clientSecret",
            or("clientIdKey", "client-id"),
            or("namespace", "(the server's namespace)"),
            or("name", "(without a name)"),
            or("clientSecretKey", "client-secret"),
        );
        self.note(reference.place, &says);
    }
}

/// The block of a resource; an empty text counts as absent, and the client is in a Secret.
fn auth_block<'a>(auth: &'a Placed, required_audiences: Vec<&'a str>) -> AuthBlock<'a> {
    AuthBlock {
        kind: text(auth, "type"),
        forward_token: flag(auth, "forwardToken"),
        required_audiences,
        token_exchange: member(auth, "tokenExchange").map(|exchange| ExchangeBlock {
            enabled: flag(exchange, "enabled"),
            token_endpoint: text(exchange, "dexTokenEndpoint"),
            expected_issuer: text(exchange, "expectedIssuer"),
            jwks_uri: None,
            connector_id: text(exchange, "connectorId"),
            scopes: text(exchange, "scopes"),
            client_id: None,
        }),
    }
}
