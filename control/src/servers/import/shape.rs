//! The fields of the MCPServer resource and their types, by the aggregator's CRD.

use crate::yaml::Node;

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Text,
    Flag,
    Number,
    Map,
    List,
}

impl FieldType {
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
    pub(super) kind: FieldType,
    /// Whether the import depends on it: with another type the server is left out.
    pub(super) is_decisive: bool,
}

const fn decisive(name: &'static str, kind: FieldType) -> Field {
    Field {
        name,
        kind,
        is_decisive: true,
    }
}

/// A field that concerns the aggregator only.
const fn ignored(name: &'static str, kind: FieldType) -> Field {
    Field {
        name,
        kind,
        is_decisive: false,
    }
}

pub(super) const METADATA: [Field; 2] = [
    decisive("name", FieldType::Text),
    decisive("namespace", FieldType::Text),
];

pub(super) const SPEC: [Field; 12] = [
    decisive("type", FieldType::Text),
    decisive("url", FieldType::Text),
    decisive("auth", FieldType::Map),
    decisive("suspended", FieldType::Flag),
    ignored("timeout", FieldType::Number),
    ignored("headers", FieldType::Map),
    ignored("toolPrefix", FieldType::Text),
    ignored("family", FieldType::Map),
    ignored("description", FieldType::Text),
    ignored("autoStart", FieldType::Flag),
    ignored("command", FieldType::Text),
    ignored("args", FieldType::List),
];

pub(super) const AUTH: [Field; 5] = [
    decisive("type", FieldType::Text),
    decisive("forwardToken", FieldType::Flag),
    decisive("requiredAudiences", FieldType::List),
    decisive("tokenExchange", FieldType::Map),
    decisive("authorizationServer", FieldType::Map),
];

pub(super) const EXCHANGE: [Field; 6] = [
    decisive("enabled", FieldType::Flag),
    decisive("dexTokenEndpoint", FieldType::Text),
    decisive("expectedIssuer", FieldType::Text),
    decisive("connectorId", FieldType::Text),
    decisive("scopes", FieldType::Text),
    decisive("clientCredentialsSecretRef", FieldType::Map),
];

pub(super) const SECRET_REFERENCE: [Field; 4] = [
    decisive("name", FieldType::Text),
    decisive("namespace", FieldType::Text),
    decisive("clientIdKey", FieldType::Text),
    decisive("clientSecretKey", FieldType::Text),
];
