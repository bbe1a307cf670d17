//! Deserializes a type from a tree with serde. A fault does not stop at the first error: the faulty value is excluded and the
//! rest is deserialized again, until all faults are known.

use std::cell::RefCell;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::fault::{Fault, Kind, ShapeFault};
use super::fault_collector::FaultCollector;
use super::placeholder::Placeholder;
use super::spanned::{SPANNED, SpannedParts};
use super::tree::{Location, Node, Placed};

/// The result of deserializing a document.
pub(crate) struct Shaped<T> {
    /// The value, made of the parts without faults, with empty values at [`Location::UNKNOWN`] for members that the document
    /// itself lacks; `None` if it is no map. Not to be used if there are faults, but to be checked for more.
    pub(crate) value: Option<T>,
    /// All faults of the shape.
    pub(crate) faults: Vec<ShapeFault>,
    /// The maps and lists with an excluded value: what they seem to lack as well is not a fault of its own.
    pub(crate) incomplete: Vec<Location>,
}

/// Maximum number of passes, and so of reported faults: some kinds of fault cost one pass each.
const MAX_PASSES: usize = 200;

/// Deserializes a `T` from `document`.
pub(crate) fn typed<T: DeserializeOwned>(document: &Placed) -> Shaped<T> {
    let collector = RefCell::new(FaultCollector::new(document));
    let mut value = None;
    for _ in 0..MAX_PASSES {
        let at = At {
            placed: document,
            collector: &collector,
        };
        let progressed = match T::deserialize(at) {
            // Maps with placeholders are excluded; the document alone retains its own.
            Ok(candidate) => {
                let progressed = collector.borrow_mut().exclude_placeholders();
                if !progressed {
                    value = collector.borrow().is_whole().then_some(candidate);
                }
                progressed
            }
            Err(fault) => collector.borrow_mut().record(fault),
        };
        if !progressed {
            break;
        }
    }
    let (faults, incomplete) = collector.into_inner().into_parts();
    Shaped {
        value,
        faults,
        incomplete,
    }
}

/// A deserializer for one value of the tree.
#[derive(Clone, Copy)]
struct At<'s, 'a> {
    placed: &'a Placed,
    collector: &'s RefCell<FaultCollector<'a>>,
}

impl<'a> At<'_, 'a> {
    fn inside(self, placed: &'a Placed) -> Self {
        Self { placed, ..self }
    }

    fn expected<T>(self, what: &str) -> Result<T, Fault> {
        Err(Fault::of(Kind::Expected(what.to_owned())).at(self.placed.id))
    }

    fn is_excluded(self, placed: &Placed) -> bool {
        self.collector.borrow().is_excluded(placed.id)
    }

    fn map<'de, V: Visitor<'de>>(
        self,
        known: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let Node::Map(members) = &self.placed.node else {
            return self.expected("a map");
        };
        self.collector.borrow_mut().check_keys(self.placed, known);
        let placeholders = self.collector.borrow().placeholders(self.placed.id);
        visitor
            .visit_map(Members {
                at: self,
                left: members.iter(),
                value: None,
                placeholders: placeholders.into_iter(),
            })
            .map_err(|fault| fault.at(self.placed.id))
    }

    fn list<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Node::List(items) = &self.placed.node else {
            return self.expected("a list");
        };
        visitor
            .visit_seq(Items {
                at: self,
                left: items.iter(),
            })
            .map_err(|fault| fault.at(self.placed.id))
    }

    /// Accepts numbers and booleans as written too: a client id may be 42.
    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.placed.node {
            Node::Text(text) | Node::Number(text) | Node::Flag { written: text, .. } => visitor
                .visit_str(text)
                .map_err(|fault: Fault| fault.at(self.placed.id)),
            Node::Map(_) | Node::List(_) | Node::Null => self.expected("a text"),
        }
    }

    fn number<T: TryFrom<u64>, V>(self, visit: impl FnOnce(T) -> Result<V, Fault>) -> Result<V, Fault>
    where
        V: Sized,
    {
        let number = match &self.placed.node {
            Node::Number(written) => written.parse::<u64>().ok(),
            _ => None,
        };
        match number.map(T::try_from) {
            Some(Ok(number)) => visit(number).map_err(|fault| fault.at(self.placed.id)),
            Some(Err(_)) => self.expected("a smaller number"),
            None => self.expected("a whole number"),
        }
    }
}

impl<'de> Deserializer<'de> for At<'_, '_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let id = self.placed.id;
        match &self.placed.node {
            Node::Map(_) => self.map(None, visitor),
            Node::List(_) => self.list(visitor),
            Node::Text(text) => visitor.visit_str(text).map_err(|fault: Fault| fault.at(id)),
            Node::Flag { value, .. } => visitor.visit_bool(*value).map_err(|fault: Fault| fault.at(id)),
            // As a string: a type that accepts any value expects a map or a string here.
            Node::Number(written) => visitor.visit_str(written).map_err(|fault: Fault| fault.at(id)),
            Node::Null => visitor.visit_unit().map_err(|fault: Fault| fault.at(id)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.placed.node {
            Node::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name == SPANNED {
            visitor.visit_seq(SpannedParts::new(self.placed.place, self))
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.map(Some(fields), visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.map(None, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.list(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let id = self.placed.id;
        match &self.placed.node {
            Node::Text(text) => {
                let variant: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                visitor.visit_enum(variant).map_err(|fault| fault.at(id))
            }
            _ => self.expected("a text"),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.placed.node {
            Node::Flag { value, .. } => visitor.visit_bool(*value),
            _ => self.expected("true or false, without quotes"),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number(|number| visitor.visit_u16(number))
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number(|number| visitor.visit_u32(number))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.number(|number| visitor.visit_u64(number))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'s, 'a> {
    at: At<'s, 'a>,
    left: std::slice::Iter<'a, Placed>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let at = self.at;
        match self.left.by_ref().find(|item| !at.is_excluded(item)) {
            Some(item) => seed.deserialize(at.inside(item)).map(Some),
            None => Ok(None),
        }
    }
}

struct Members<'s, 'a> {
    at: At<'s, 'a>,
    left: std::slice::Iter<'a, super::tree::Member>,
    /// The value of the last key; `None` for a placeholder.
    value: Option<&'a Placed>,
    placeholders: std::vec::IntoIter<&'static str>,
}

impl<'de> MapAccess<'de> for Members<'_, '_> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let at = self.at;
        let member = self.left.by_ref().find(|member| !at.is_excluded(&member.value));
        self.value = member.map(|member| &member.value);
        let key = match member {
            Some(member) => Some(member.key.as_str()),
            None => self.placeholders.next(),
        };
        let Some(key) = key else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        match self.value.take() {
            Some(value) => seed.deserialize(self.at.inside(value)),
            None => seed.deserialize(Placeholder),
        }
    }
}
