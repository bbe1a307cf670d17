//! The types of the MCPServer resource's fields, as the aggregator's CRD has them.

use crate::yaml::Node;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Flag,
    Number,
    Map,
    List,
}

impl Type {
    pub(super) const fn fits(self, node: &Node) -> bool {
        matches!(
            (self, node),
            (Self::Text, Node::Text(_))
                | (Self::Flag, Node::Flag { .. })
                | (Self::Number, Node::Number(_))
                | (Self::Map, Node::Map(_))
                | (Self::List, Node::List(_))
        )
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Map => "a map",
            Self::List => "a list",
        }
    }
}

/// One field of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    /// Whether what is imported depends on it: with another type the server is left out.
    pub(super) decides: bool,
}

const fn decides(name: &'static str, kind: Type) -> Field {
    Field {
        name,
        kind,
        decides: true,
    }
}

/// What the aggregator does with a server and Tokenward has no part in.
const fn aside(name: &'static str, kind: Type) -> Field {
    Field {
        name,
        kind,
        decides: false,
    }
}

pub(super) const METADATA: [Field; 2] = [decides("name", Type::Text), decides("namespace", Type::Text)];

pub(super) const SPEC: [Field; 12] = [
    decides("type", Type::Text),
    decides("url", Type::Text),
    decides("auth", Type::Map),
    decides("suspended", Type::Flag),
    aside("timeout", Type::Number),
    aside("headers", Type::Map),
    aside("toolPrefix", Type::Text),
    aside("family", Type::Map),
    aside("description", Type::Text),
    aside("autoStart", Type::Flag),
    aside("command", Type::Text),
    aside("args", Type::List),
];

pub(super) const AUTH: [Field; 5] = [
    decides("type", Type::Text),
    decides("forwardToken", Type::Flag),
    decides("requiredAudiences", Type::List),
    decides("tokenExchange", Type::Map),
    decides("authorizationServer", Type::Map),
];

pub(super) const EXCHANGE: [Field; 6] = [
    decides("enabled", Type::Flag),
    decides("dexTokenEndpoint", Type::Text),
    decides("expectedIssuer", Type::Text),
    decides("connectorId", Type::Text),
    decides("scopes", Type::Text),
    decides("clientCredentialsSecretRef", Type::Map),
];

pub(super) const SECRET_REFERENCE: [Field; 4] = [
    decides("name", Type::Text),
    decides("namespace", Type::Text),
    decides("clientIdKey", Type::Text),
    decides("clientSecretKey", Type::Text),
];
