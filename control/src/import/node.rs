//! YAML as a tree with places, for documents whose shape is somebody else's.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and where it stands.
pub(super) type Placed = Spanned<Node>;

/// One YAML value.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Map(Vec<(Spanned<String>, Placed)>),
    List(Vec<Placed>),
    Text(String),
    Flag(bool),
    /// Kept as written by nobody: no number is read from these documents.
    Number,
    Null,
}

impl Node {
    /// The members of a map; none for anything else.
    pub(super) fn members(&self) -> &[(Spanned<String>, Placed)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Placed] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The member `name` of a map.
    pub(super) fn get(&self, name: &str) -> Option<&Placed> {
        self.members()
            .iter()
            .find(|(key, _)| key.value == name)
            .map(|(_, value)| value)
            .filter(|value| !matches!(value.value, Self::Null))
    }

    /// The text of the member `name`; empty counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match &self.get(name)?.value {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// Whether the member `name` is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name).map(|node| &node.value), Some(Self::Flag(true)))
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;

        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = Node;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a YAML value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Node::Map(members))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }

            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Node, E> {
                Ok(Node::Flag(flag))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Number)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Number)
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Null)
            }
        }

        deserializer.deserialize_any(NodeVisitor)
    }
}
