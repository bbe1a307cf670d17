//! What is wrong with the shape of a document.

use std::fmt;

use super::{Id, Location};

/// One fault of the shape, with its place and its hint. Quotes no value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShapeFault {
    pub(crate) place: Location,
    pub(crate) what: String,
    pub(crate) hint: String,
}

/// Why a type could not be made of a value.
#[derive(Debug)]
pub(super) struct Fault {
    /// The innermost value that it is about; none yet, while it is on its way there.
    pub(super) at: Option<Id>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The value is not what is expected there.
    Expected(String),
    /// A map lacks a member.
    Missing(&'static str),
    /// A map has a member that is not known.
    Unknown {
        name: String,
        known: &'static [&'static str],
    },
    /// Words of the type's own.
    Other(String),
}

impl Fault {
    pub(super) fn of(kind: Kind) -> Self {
        Self { at: None, kind }
    }

    /// The same, about the value `id` unless it is about one inside.
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
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self::of(Kind::Other(words.to_string()))
    }

    // What was found instead is left out: it may be a secret.
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
