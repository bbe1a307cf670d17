//! One MCPServer resource.

use super::Note;
use super::node::{Node, Placed};

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

/// What the aggregator does with a server and Tokenward has no part in.
const SPEC: [&str; 12] = [
    "type",
    "url",
    "timeout",
    "headers",
    "toolPrefix",
    "family",
    "auth",
    "description",
    "autoStart",
    "suspended",
    "command",
    "args",
];
const AUTH: [&str; 5] = [
    "type",
    "forwardToken",
    "requiredAudiences",
    "tokenExchange",
    "authorizationServer",
];
const EXCHANGE: [&str; 6] = [
    "enabled",
    "dexTokenEndpoint",
    "expectedIssuer",
    "connectorId",
    "scopes",
    "clientCredentialsSecretRef",
];

/// Reads one resource; what it lacks or has too much is noted. `None`: there is nothing to protect.
pub(super) fn read(notes: &mut Vec<Note>, place: &Placed, node: &Node) -> Option<ImportedServer> {
    let mut reader = Reader {
        notes,
        server: String::new(),
    };
    let metadata = node.get("metadata").map(|metadata| &metadata.value);
    let Some(name) = metadata.and_then(|metadata| metadata.text("name")) else {
        return reader.left_out(place, "an MCPServer without metadata.name");
    };
    name.clone_into(&mut reader.server);
    let Some(spec) = node.get("spec") else {
        return reader.left_out(place, "it has no spec");
    };
    reader.name_unknown("spec", &spec.value, &SPEC);
    if spec.value.text("type") == Some("stdio") {
        return reader.left_out(
            spec,
            "type stdio runs inside the aggregator, and no gateway sees its requests",
        );
    }
    let Some(auth) = spec.value.get("auth") else {
        return reader.left_out(spec, "it has no auth, so it needs no tokens");
    };
    reader.name_unknown("spec.auth", &auth.value, &AUTH);
    if let Some(server) = auth.value.get("authorizationServer") {
        return reader.left_out(
            server,
            "auth.authorizationServer: it has an authorization server of its own, which Tokenward does not log in at",
        );
    }
    if auth.value.text("type") == Some("none") {
        return reader.left_out(auth, "auth.type none needs no tokens");
    }
    let forward_token = auth.value.flag("forwardToken");
    let exchange = match auth.value.get("tokenExchange") {
        Some(exchange) => reader.exchange(exchange, forward_token),
        None => None,
    };
    if !forward_token && exchange.is_none() {
        return reader.left_out(auth, "auth has neither forwardToken nor a usable tokenExchange");
    }
    if spec.value.flag("suspended") {
        reader.note(spec, "it is suspended; it is imported all the same");
    }
    Some(ImportedServer {
        name: name.to_owned(),
        namespace: metadata
            .and_then(|metadata| metadata.text("namespace"))
            .map(str::to_owned),
        url: spec.value.text("url").map(str::to_owned),
        forward_token,
        required_audiences: reader.audiences(&auth.value),
        exchange,
    })
}

struct Reader<'a> {
    notes: &'a mut Vec<Note>,
    server: String,
}

impl Reader<'_> {
    fn note(&mut self, place: &Placed, says: &str) {
        self.notes.push(Note {
            line: place.referenced.line(),
            says: format!("server {:?}: {says}", self.server),
        });
    }

    fn left_out<T>(&mut self, place: &Placed, why: &str) -> Option<T> {
        self.note(place, &format!("{why}; it is left out"));
        None
    }

    fn name_unknown(&mut self, block: &str, node: &Node, known: &[&str]) {
        for (key, _) in node.members() {
            if !known.contains(&key.value.as_str()) {
                self.notes.push(Note {
                    line: key.referenced.line(),
                    says: format!(
                        "server {:?}: {block}.{} is not known here; it is not taken over",
                        self.server, key.value
                    ),
                });
            }
        }
    }

    fn audiences(&mut self, auth: &Node) -> Vec<String> {
        let Some(list) = auth.get("requiredAudiences") else {
            return Vec::new();
        };
        let mut audiences = Vec::new();
        for item in list.value.items() {
            match &item.value {
                Node::Text(audience) => audiences.push(audience.clone()),
                _ => self.note(item, "a required audience is no text; it is not taken over"),
            }
        }
        audiences
    }

    /// As in the aggregator, an exchange counts when it is enabled and has endpoint and connector.
    fn exchange(&mut self, place: &Placed, forward_token: bool) -> Option<ImportedExchange> {
        let node = &place.value;
        self.name_unknown("spec.auth.tokenExchange", node, &EXCHANGE);
        if !node.flag("enabled") {
            return None;
        }
        let (Some(token_endpoint), Some(connector_id)) =
            (node.text("dexTokenEndpoint"), node.text("connectorId"))
        else {
            let instead = if forward_token {
                "the user's own token is forwarded, as the aggregator does"
            } else {
                "it cannot be used"
            };
            self.note(
                place,
                &format!("tokenExchange is enabled without dexTokenEndpoint or connectorId; {instead}"),
            );
            return None;
        };
        self.credentials(place);
        let text = |name| node.text(name).map(str::to_owned);
        Some(ImportedExchange {
            token_endpoint: token_endpoint.to_owned(),
            expected_issuer: text("expectedIssuer"),
            connector_id: connector_id.to_owned(),
            scopes: text("scopes"),
        })
    }

    /// The credentials are in a Secret that is not in the file: say where to find them.
    fn credentials(&mut self, place: &Placed) {
        let Some(reference) = place.value.get("clientCredentialsSecretRef") else {
            self.note(
                place,
                "tokenExchange has no clientCredentialsSecretRef: fill in clientCredentials of a client of the remote \
                 issuer",
            );
            return;
        };
        let text = |name, default| reference.value.text(name).unwrap_or(default).to_owned();
        let says = format!(
            "fill in clientId from key {:?} of the secret {}/{}, and mount its key {:?} as the file of clientSecret",
            text("clientIdKey", "client-id"),
            text("namespace", "(the server's namespace)"),
            text("name", "(without a name)"),
            text("clientSecretKey", "client-secret"),
        );
        self.note(reference, &says);
    }
}
