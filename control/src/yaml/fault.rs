//! Faults in the shape of a document.

use std::fmt;

use super::{Id, Location};

/// One fault with its position and a hint. Quotes no value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeFault {
    pub(crate) place: Location,
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// Why a value could not be deserialized.
#[derive(Debug)]
pub(super) struct Fault {
    /// The innermost faulty value; `None` until the error has passed a deserializer that has one.
    pub(super) at: Option<Id>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The value has another type.
    Expected(String),
    /// A map lacks a member.
    Missing(&'static str),
    /// A map has an unknown member.
    Unknown {
        name: String,
        known: &'static [&'static str],
    },
    /// A message from the type's own implementation.
    Other(String),
}

impl Fault {
    pub(super) fn of(kind: Kind) -> Self {
        Self { at: None, kind }
    }

    /// Sets the faulty value to `id` unless an inner one is set.
    pub(super) fn at(self, id: Id) -> Self {
        Self {
            at: self.at.or(Some(id)),
            ..self
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::of(Kind::Other(message.to_string()))
    }

    // The actual value is omitted: it may be a secret.
    fn invalid_type(_: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::of(Kind::Expected(expected.to_string()))
    }

    fn invalid_value(_: serde::de::Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::of(Kind::Expected(expected.to_string()))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::Expected(format!("one of {}", known.join(", "))))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::Unknown {
            name: name.to_owned(),
            known,
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::of(Kind::Missing(name))
    }
}
