//! Imports one MCPServer resource.

use url::Url;

use super::Note;
use super::reader::{Reader, flag, member, text};
use super::shape::{AUTH, EXCHANGE, METADATA, SECRET_REFERENCE, SPEC};
use crate::servers::exchange_block::ExchangeBlock;
use crate::servers::exchange_path::is_exchange_endpoint;
use crate::servers::mcp_server::{AuthBlock, AuthType, BlockToken};
use crate::yaml::{Node, Placed};

/// A server that Tokenward can protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedServer {
    /// `apiVersion`.
    pub api_version: Option<String>,
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
    /// `spec.auth.tokenExchange`, if it is enabled and usable.
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
    /// `clientCredentialsSecretRef`, if it names a Secret.
    pub credentials: Option<SecretReference>,
}

/// `clientCredentialsSecretRef`, with the CRD's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// `name`.
    pub name: String,
    /// `namespace`; `None`: the server's.
    pub namespace: Option<String>,
    /// `clientIdKey`.
    pub client_id_key: String,
    /// `clientSecretKey`.
    pub client_secret_key: String,
}

/// The API group of the aggregator's resources.
const API_GROUP: &str = "muster.giantswarm.io/";

/// Reads one resource; missing, unknown and mistyped fields become notes. `None`: the server needs no protection, or the
/// resource does not state how.
pub(super) fn read(
    notes: &mut Vec<Note>,
    fill_in: &mut Vec<Note>,
    resource: &Placed,
) -> Option<ImportedServer> {
    let mut reader = Reader {
        notes,
        fill_in,
        server: String::new(),
        is_uncertain: false,
    };
    let metadata = member(resource, "metadata").filter(|metadata| matches!(metadata.node, Node::Map(_)));
    let Some(name) = metadata.and_then(|metadata| text(metadata, "name")) else {
        return reader.omit(resource, "without metadata.name");
    };
    name.clone_into(&mut reader.server);
    if let Some(metadata) = metadata {
        reader.check_fields("metadata", metadata, &METADATA, true);
    }
    if let Some(group) = text(resource, "apiVersion").filter(|version| !version.starts_with(API_GROUP)) {
        let text = format!(
            "its apiVersion {group:?} is not the aggregator's ({API_GROUP}…): it is read nevertheless"
        );
        reader.note(resource.place, &text);
    }
    let Some(spec) = member(resource, "spec") else {
        return reader.omit(resource, "it has no spec");
    };
    let Node::Map(_) = &spec.node else {
        return reader.omit(spec, &format!("spec must be a map, and is {}", spec.node.kind()));
    };
    reader.check_fields("spec", spec, &SPEC, false);
    let server = reader.protected(spec, metadata)?;
    Some(ImportedServer {
        api_version: text(resource, "apiVersion").map(str::to_owned),
        ..server
    })
}

impl Reader<'_> {
    fn protected(&mut self, spec: &Placed, metadata: Option<&Placed>) -> Option<ImportedServer> {
        match text(spec, "type") {
            Some("stdio") => {
                return self.omit(
                    spec,
                    "type stdio runs inside the aggregator, and no gateway sees its requests",
                );
            }
            None | Some("streamable-http" | "sse") => {}
            Some(other) => {
                let text =
                    format!("spec.type {other:?} is not known here; it is imported like streamable-http");
                self.note(spec.place, &text);
            }
        }
        let Some(auth) = member(spec, "auth") else {
            return self.omit(spec, "it has no auth, so it needs no tokens");
        };
        self.check_fields("spec.auth", auth, &AUTH, false);
        let audiences = self.audiences(auth);
        if let Some(exchange) = member(auth, "tokenExchange") {
            self.check_fields("spec.auth.tokenExchange", exchange, &EXCHANGE, false);
            if let Some(reference) = member(exchange, "clientCredentialsSecretRef") {
                let block = "spec.auth.tokenExchange.clientCredentialsSecretRef";
                self.check_fields(block, reference, &SECRET_REFERENCE, false);
            }
        }
        if self.is_uncertain {
            return self.omit(
                auth,
                "the resource does not state how to protect it: correct the resource",
            );
        }
        if let Some(server) = member(auth, "authorizationServer") {
            return self.omit(
                server,
                "auth.authorizationServer: it has an authorization server of its own, which Tokenward does not log in at",
            );
        }
        let block = auth_block(auth, audiences);
        match block.auth_type() {
            AuthType::Oauth => {}
            AuthType::None => return self.omit(auth, "auth.type none needs no tokens"),
            AuthType::Unknown(other) => {
                return self.omit(auth, &format!("auth.type {other:?} is neither oauth nor none"));
            }
        }
        let exchange = match block.token() {
            BlockToken::Exchange(exchange) => self.exchange(auth, exchange, block.forward_token),
            BlockToken::Forward | BlockToken::Neither => None,
        };
        if !block.forward_token && exchange.is_none() {
            return self.omit(auth, "auth has neither forwardToken nor a usable tokenExchange");
        }
        if flag(spec, "suspended") {
            self.note(spec.place, "it is suspended; it is imported nevertheless");
        }
        Some(ImportedServer {
            api_version: None,
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
                    let text = format!("a required audience must be a text, and is {}", other.kind());
                    self.note(item.place, &text);
                    self.is_uncertain = true;
                }
            }
        }
        audiences
    }

    /// An enabled exchange. As in the aggregator, it counts if it has all required fields.
    fn exchange(
        &mut self,
        auth: &Placed,
        exchange: &ExchangeBlock<'_>,
        forward_token: bool,
    ) -> Option<ImportedExchange> {
        let place = member(auth, "tokenExchange")?;
        let (Some(token_endpoint), Some(connector_id)) = (exchange.dex_token_endpoint, exchange.connector_id)
        else {
            let instead = if forward_token {
                "the user's own token is forwarded, as the aggregator does"
            } else {
                "it cannot be used"
            };
            let text = format!("tokenExchange is enabled without dexTokenEndpoint or connectorId; {instead}");
            self.note(place.place, &text);
            return None;
        };
        let credentials = self.credentials(place);
        Some(ImportedExchange {
            token_endpoint: self.remote_endpoint(place, token_endpoint, exchange.expected_issuer),
            expected_issuer: exchange.expected_issuer.map(str::to_owned),
            connector_id: connector_id.to_owned(),
            scopes: exchange.scopes.map(str::to_owned),
            credentials,
        })
    }

    /// The remote issuer's own token endpoint, also where the resource leads exchanges through control already.
    fn remote_endpoint(&mut self, place: &Placed, endpoint: &str, expected_issuer: Option<&str>) -> String {
        let is_control = Url::parse(endpoint).is_ok_and(|url| is_exchange_endpoint(&url, &self.server));
        match expected_issuer.filter(|_| is_control) {
            Some(issuer) => {
                let own = format!("{}/token", issuer.trim_end_matches('/'));
                self.note(
                    place.place,
                    &format!("dexTokenEndpoint is control's exchange endpoint; {own} is taken in its place: compare it"),
                );
                own
            }
            None => endpoint.to_owned(),
        }
    }

    /// Where the credentials are: in a Secret that is not in the file.
    fn credentials(&mut self, exchange: &Placed) -> Option<SecretReference> {
        let reference = member(exchange, "clientCredentialsSecretRef");
        let Some((reference, name)) =
            reference.and_then(|reference| Some((reference, text(reference, "name")?)))
        else {
            self.note_to_fill_in(
                exchange.place,
                "tokenExchange has no clientCredentialsSecretRef with a name: fill in clientCredentials of a client of the \
                 remote issuer",
            );
            return None;
        };
        let or = |name, default: &str| text(reference, name).unwrap_or(default).to_owned();
        let found = SecretReference {
            name: name.to_owned(),
            namespace: text(reference, "namespace").map(str::to_owned),
            client_id_key: or("clientIdKey", "client-id"),
            client_secret_key: or("clientSecretKey", "client-secret"),
        };
        let namespace = found.namespace.as_deref().unwrap_or("(the server's namespace)");
        let text = format!(
            "fill in clientId from key {:?} of the secret {namespace}/{name}, and mount its key {:?} as the file of \
             clientSecret",
            found.client_id_key, found.client_secret_key,
        );
        self.note_to_fill_in(reference.place, &text);
        Some(found)
    }
}

/// The block of a resource; an empty text counts as absent, and the client is in a Secret.
fn auth_block<'a>(auth: &'a Placed, required_audiences: Vec<&'a str>) -> AuthBlock<'a> {
    AuthBlock {
        kind: text(auth, "type"),
        forward_token: flag(auth, "forwardToken"),
        forward: None,
        required_audiences,
        token_exchange: member(auth, "tokenExchange").map(|exchange| ExchangeBlock {
            enabled: flag(exchange, "enabled"),
            dex_token_endpoint: text(exchange, "dexTokenEndpoint"),
            expected_issuer: text(exchange, "expectedIssuer"),
            connector_id: text(exchange, "connectorId"),
            scopes: text(exchange, "scopes"),
            ..ExchangeBlock::default()
        }),
    }
}
