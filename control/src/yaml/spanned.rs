//! A value with its position, for types that are deserialized from a tree.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer as _, SeqAccess, Visitor};

use super::Location;
use super::fault::Fault;

/// A value and its position.
#[derive(Debug, Clone)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) referenced: Location,
}

/// The newtype name that requests a value's position from the deserializers of this module.
pub(super) const SPANNED: &str = "tokenward spanned";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SpannedVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for SpannedVisitor<T> {
            type Value = Spanned<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value with its position")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let lacks = || serde::de::Error::custom("a value without its position");
                let line = parts.next_element()?.ok_or_else(lacks)?;
                let column = parts.next_element()?.ok_or_else(lacks)?;
                Ok(Spanned {
                    value: parts.next_element()?.ok_or_else(lacks)?,
                    referenced: Location::new(line, column),
                })
            }
        }

        deserializer.deserialize_newtype_struct(SPANNED, SpannedVisitor(PhantomData))
    }
}

/// Yields the line, the column and the value, in this order.
pub(super) struct SpannedParts<D> {
    place: Location,
    given: u8,
    value: Option<D>,
}

impl<D> SpannedParts<D> {
    pub(super) fn new(place: Location, value: D) -> Self {
        Self {
            place,
            given: 0,
            value: Some(value),
        }
    }
}

impl<'de, D: Deserializer<'de, Error = Fault>> SeqAccess<'de> for SpannedParts<D> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.given += 1;
        match (self.given, self.value.take()) {
            (1, value) => {
                self.value = value;
                seed.deserialize(self.place.line().into_deserializer()).map(Some)
            }
            (2, value) => {
                self.value = value;
                seed.deserialize(self.place.column().into_deserializer())
                    .map(Some)
            }
            (_, Some(value)) => seed.deserialize(value).map(Some),
            (_, None) => Ok(None),
        }
    }
}
