//! Reads an object field by field: every fault names the field's whole path, and an unknown field is a fault.

use std::time::Duration;

use tokenward_protocol::duration::parse_duration;
use tokenward_protocol::json::Json;

use super::error::BadConfig;

/// Longest span of any setting but the deadline of a call: a day, seconds.
pub(super) const LONGEST_SECONDS: u64 = 86_400;

/// An object; its fields are taken out one by one.
pub(super) struct Fields<'a> {
    path: String,
    left: Vec<(String, Json<'a>)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of `json`, found at `path` (empty for the whole configuration).
    pub(super) fn of(json: Json<'a>, path: &str) -> Result<Self, BadConfig> {
        let Json::Object(members) = json else {
            return Err(BadConfig::new(
                path,
                format!("must be an object, not {}", json.kind()),
            ));
        };
        let mut fields = Self {
            path: path.to_owned(),
            left: Vec::new(),
            known: Vec::new(),
        };
        for (name, value) in members {
            if fields.left.iter().any(|(other, _)| *other == name) {
                return Err(BadConfig::new(&fields.at(&name), "is written twice"));
            }
            fields.left.push((name.into_owned(), value));
        }
        Ok(fields)
    }

    /// The path of the field `name`.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A fault of the field `name`.
    pub(super) fn fault(&self, name: &str, fault: impl Into<String>) -> BadConfig {
        BadConfig::new(&self.at(name), fault)
    }

    /// Takes a field that may be missing; `null` counts as missing.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Json<'a>> {
        self.known.push(name);
        let at = self.left.iter().position(|(other, _)| other == name)?;
        let (_, value) = self.left.swap_remove(at);
        (value != Json::Null).then_some(value)
    }

    /// Takes a field that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Result<Json<'a>, BadConfig> {
        self.take(name).ok_or_else(|| self.fault(name, "is missing"))
    }

    /// Takes a text that may be missing.
    pub(super) fn optional_text(&mut self, name: &'static str) -> Result<Option<String>, BadConfig> {
        match self.take(name) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.into_owned())),
            Some(other) => Err(self.fault(name, format!("must be a text, not {}", other.kind()))),
        }
    }

    /// Takes a text that may be missing and becomes part of a challenge.
    pub(super) fn quotable_text(&mut self, name: &'static str) -> Result<Option<String>, BadConfig> {
        let text = self.optional_text(name)?;
        let quotable = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if text
            .as_ref()
            .is_some_and(|text| text.is_empty() || !text.bytes().all(quotable))
        {
            return Err(self.fault(name, "must have neither blanks nor quotes, and not be empty"));
        }
        Ok(text)
    }

    /// Takes a text that must be there and not be empty.
    pub(super) fn text(&mut self, name: &'static str) -> Result<String, BadConfig> {
        match self.optional_text(name)? {
            None => Err(self.fault(name, "is missing")),
            Some(text) if text.is_empty() => Err(self.fault(name, "is empty")),
            Some(text) => Ok(text),
        }
    }

    /// Takes a list of texts; none when it is missing.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, BadConfig> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Json::List(items)) => {
                let texts = items.iter().map(|item| item.as_text().map(str::to_owned));
                texts
                    .collect::<Option<_>>()
                    .ok_or_else(|| self.fault(name, "must be a list of texts only"))
            }
            Some(other) => Err(self.fault(name, format!("must be a list of texts, not {}", other.kind()))),
        }
    }

    /// Takes a boolean, false when it is missing.
    pub(super) fn is_set(&mut self, name: &'static str) -> Result<bool, BadConfig> {
        match self.take(name) {
            None => Ok(false),
            Some(Json::Bool(is_set)) => Ok(is_set),
            Some(other) => Err(self.fault(name, format!("must be a boolean, not {}", other.kind()))),
        }
    }

    /// Takes a span of time longer than 0 and at most `most_seconds`, `default` when it is missing.
    pub(super) fn span(
        &mut self,
        name: &'static str,
        default: &str,
        most_seconds: u64,
    ) -> Result<Duration, BadConfig> {
        let text = self.optional_text(name)?;
        let span = parse_duration(text.as_deref().unwrap_or(default))
            .map_err(|error| self.fault(name, error.to_string()))?;
        if span.is_zero() {
            Err(self.fault(name, "must be longer than 0"))
        } else if span > Duration::from_secs(most_seconds) {
            Err(self.fault(name, format!("must be {most_seconds}s at the most")))
        } else {
            Ok(span)
        }
    }

    /// Takes a whole number from 1 to `most`, `default` when it is missing.
    pub(super) fn count(
        &mut self,
        name: &'static str,
        default: usize,
        most: usize,
    ) -> Result<usize, BadConfig> {
        let Some(value) = self.take(name) else {
            return Ok(default);
        };
        let count = value
            .as_whole()
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| (1..=most).contains(count));
        count.ok_or_else(|| self.fault(name, format!("must be a whole number from 1 to {most}")))
    }

    /// Takes a whole number from 1 to 2^32 − 1 that may be missing.
    pub(super) fn optional_count(&mut self, name: &'static str) -> Result<Option<u32>, BadConfig> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match value.as_whole().and_then(|count| u32::try_from(count).ok()) {
            Some(count) if count > 0 => Ok(Some(count)),
            _ => Err(self.fault(name, "must be a whole number of at least 1")),
        }
    }

    /// Ends the object: a field that was not taken is unknown.
    pub(super) fn end(self) -> Result<(), BadConfig> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.fault(
                name,
                format!("unknown field; the fields here are {}", self.known.join(", ")),
            )),
        }
    }
}
