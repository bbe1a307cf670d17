//! Values of the YAML as written that occur in several of its parts.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::yaml::Spanned;

/// A string and its position.
pub(super) type Text = Spanned<String>;

/// The source of a secret. A secret in the YAML itself is rejected **without quoting it**: serde's own message would contain
/// the value.
pub(super) struct RawSecret {
    pub(super) file: Option<String>,
    pub(super) env: Option<String>,
}

/// A text that is no secret: written in the configuration, or in a file or variable beside a secret.
pub(super) enum RawText {
    /// The text itself.
    Written(String),
    /// Its source.
    From(RawSecret),
}

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = RawText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a text, {file: /path/to/it} or {env: NAME_OF_VARIABLE}")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawText, E> {
                Ok(RawText::Written(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawText, A::Error> {
                RawSecret::deserialize(MapAccessDeserializer::new(map)).map(RawText::From)
            }
        }

        deserializer.deserialize_any(TextVisitor)
    }
}

const SECRET_EXPECTED: &str = "the secret itself does not belong in the configuration: write {file: /path/to/it} or \
    {env: NAME_OF_VARIABLE}";

impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Source {
            file: Option<String>,
            env: Option<String>,
        }

        struct SourceVisitor;

        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = RawSecret;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("{file: /path/to/it} or {env: NAME_OF_VARIABLE}")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSecret, A::Error> {
                let source = Source::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawSecret {
                    file: source.file,
                    env: source.env,
                })
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }

            fn visit_unit<E: de::Error>(self) -> Result<RawSecret, E> {
                Err(E::custom(SECRET_EXPECTED))
            }
        }

        deserializer.deserialize_any(SourceVisitor)
    }
}
