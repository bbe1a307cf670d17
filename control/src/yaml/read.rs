//! Parses a text into a tree.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Spanned};

use super::{Id, Location, Member, Node, Placed};

/// The text is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct NotYaml {
    /// Where the parser stopped.
    pub(crate) place: Location,
    /// What is wrong, without the library's own terms.
    pub(crate) what: String,
}

/// The documents of `text` without empty ones. A duplicate key in a map gives two members.
pub(crate) fn documents(text: &str) -> Result<Vec<Placed>, NotYaml> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    let documents: Vec<Spanned<Value>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| not_yaml(&error))?;
    let mut tree = Tree { text, next: 0 };
    Ok(documents
        .into_iter()
        .map(|document| tree.placed(document, String::new()))
        .collect())
}

fn not_yaml(error: &Error) -> NotYaml {
    let place = error.location().map_or(Location::UNKNOWN, |place| {
        Location::new(place.line(), place.column())
    });
    NotYaml {
        place,
        what: describe(error.without_snippet()),
    }
}

/// Describes `error`: the library's own messages mention its options and types.
fn describe(error: &Error) -> String {
    match error {
        Error::Eof { .. } => "the text ends in the middle of a value".to_owned(),
        Error::Budget { .. } => "this is too large, or nested too deeply".to_owned(),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "its aliases (*name) expand to too much, or to themselves".to_owned()
        }
        Error::AliasError { .. } => {
            "what an alias (*name) leads to is too large, or cannot be read in its place".to_owned()
        }
        Error::UnknownAnchor { .. } => "an alias (*name) has no anchor (&name) before it".to_owned(),
        Error::MergeValueNotMapOrSeqOfMaps { .. } => "<< must lead to a map".to_owned(),
        Error::InvalidUtf8Input => "this is not UTF-8".to_owned(),
        Error::ExternalMessage { msg, .. } => format!("this is not YAML: {}", first_line(msg)),
        _ => "this cannot be read as YAML: keys are texts, and values are texts, numbers, true, false, lists or maps"
            .to_owned(),
    }
}

fn first_line(message: &str) -> &str {
    let line = message.lines().next().unwrap_or(message);
    line.split(" at line ").next().unwrap_or(line)
}

/// A value as the library parses it.
enum Value {
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
    List(Vec<Spanned<Self>>),
    Text(String),
    Flag(bool),
    Number(String),
    Null,
}

/// Builds the tree and numbers its values.
struct Tree<'a> {
    text: &'a str,
    next: usize,
}

impl Tree<'_> {
    fn placed(&mut self, value: Spanned<Value>, path: String) -> Placed {
        let id = Id(self.next);
        self.next += 1;
        let written = |instead: &str| self.written(&value.defined).unwrap_or(instead).to_owned();
        let node = match value.value {
            Value::Text(text) => Node::Text(text),
            Value::Flag(flag) => Node::Flag {
                value: flag,
                written: written(if flag { "true" } else { "false" }),
            },
            Value::Number(number) => Node::Number(written(&number)),
            Value::Null => Node::Null,
            Value::List(items) => Node::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| self.placed(item, format!("{path}[{at}]")))
                    .collect(),
            ),
            Value::Map(members) => Node::Map(
                members
                    .into_iter()
                    .map(|(key, value)| self.member(key, value, &path))
                    .collect(),
            ),
        };
        Placed {
            id,
            path,
            place: place(&value.referenced),
            node,
        }
    }

    fn member(&mut self, key: Spanned<String>, value: Spanned<Value>, path: &str) -> Member {
        let dot = if path.is_empty() { "" } else { "." };
        Member {
            value: self.placed(value, format!("{path}{dot}{}", shown(&key.value))),
            key_place: place(&key.referenced),
            key: key.value,
        }
    }

    /// A scalar as written in the text: client `0123` differs from client `123`.
    fn written(&self, place: &serde_saphyr::Location) -> Option<&str> {
        let span = place.span();
        let begin = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        let written = self.text.get(begin..begin.checked_add(length)?)?.trim();
        (!written.is_empty()).then_some(written)
    }
}

/// A key as a message may quote it: on one line, and short.
pub(super) fn shown(key: &str) -> String {
    key.chars()
        .take(MAX_SHOWN_KEY)
        .flat_map(char::escape_debug)
        .collect()
}

const MAX_SHOWN_KEY: usize = 80;

fn place(place: &serde_saphyr::Location) -> Location {
    Location::new(place.line(), place.column())
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Value::Map(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}
