//! A small strict JSON parser (RFC 8259) for the filter: tokens, its configuration and control's answers.
//!
//! Reasons against a library: on the data path the parser decides whether a token is understood at all, so what it
//! accepts must be easy to review, and it must not take half of the module's size. Numbers retain their text (a float
//! never becomes an integer, and nothing is rounded), depth is bounded, and duplicate names are detected. Property
//! tests compare it with `serde_json`.

use std::borrow::Cow;

/// Maximum nesting. Tokens and configurations stay below ten.
const MAX_DEPTH: usize = 64;

/// A JSON value that borrows from the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as written.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object: its members in order, duplicate names included.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// Where and why bytes are not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {what}")]
pub struct BadJson {
    /// Offset of the byte at which parsing stopped.
    pub at: usize,
    /// What was wrong there.
    pub what: &'static str,
}

/// A member that is looked up by name occurs more than once, so two parsers could take different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated;

/// Parses one JSON text; only blanks may follow it.
///
/// # Errors
/// [`BadJson`] for anything else, including invalid UTF-8 and nesting deeper than 64.
#[inline(never)]
pub fn parse(bytes: &[u8]) -> Result<Json<'_>, BadJson> {
    let text = std::str::from_utf8(bytes).map_err(|error| BadJson {
        at: error.valid_up_to(),
        what: "not UTF-8",
    })?;
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(reader.bad("more text after the value"))
    }
}

/// `text` as a JSON string, quotes included.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    if text
        .bytes()
        .all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7F)
    {
        quoted.push_str(text);
        quoted.push('"');
        return quoted;
    }
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl<'a> Json<'a> {
    /// The member `name` of an object; `None` if it is missing or this is not an object.
    ///
    /// # Errors
    /// [`Repeated`] if the name occurs more than once.
    pub fn member(&self, name: &str) -> Result<Option<&Json<'a>>, Repeated> {
        let Self::Object(members) = self else {
            return Ok(None);
        };
        let mut found = members
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value);
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(Repeated),
        }
    }

    /// The string, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is written as an unsigned integer and fits.
    #[must_use]
    pub fn as_whole(&self) -> Option<u64> {
        match self {
            Self::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The kind of value, for error messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn bad(&self, what: &'static str) -> BadJson {
        BadJson { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        if taken {
            self.skip();
        }
        taken
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.skip();
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, BadJson> {
        if depth > MAX_DEPTH {
            return Err(self.bad("nested too deep"));
        }
        self.blanks();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err(self.bad("no value starts like this")),
            None => Err(self.bad("the text ends where a value should be")),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, BadJson> {
        if self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.at = self.at.saturating_add(word.len());
            Ok(value)
        } else {
            Err(self.bad("no value starts like this"))
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, BadJson> {
        self.skip();
        let mut members = Vec::new();
        self.blanks();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.peek() != Some(b'"') {
                return Err(self.bad("a member's name must be a string"));
            }
            let name = self.string()?;
            self.blanks();
            if !self.take(b':') {
                return Err(self.bad("a colon is missing"));
            }
            members.push((name, self.value(depth.saturating_add(1))?));
            self.blanks();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.bad("a comma or a closing brace is missing"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, BadJson> {
        self.skip();
        let mut items = Vec::new();
        self.blanks();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth.saturating_add(1))?);
            self.blanks();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            if !self.take(b',') {
                return Err(self.bad("a comma or a closing bracket is missing"));
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, BadJson> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.skip();
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Json::Number(self.since(start)))
    }

    fn digits(&mut self) -> Result<(), BadJson> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.skip();
        }
        if self.at == start {
            Err(self.bad("a digit is missing"))
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, BadJson> {
        self.skip();
        let mut start = self.at;
        let mut unescaped = String::new();
        loop {
            match self.peek() {
                None => return Err(self.bad("the text ends inside a string")),
                Some(b'"') => {
                    let rest = self.since(start);
                    self.skip();
                    return Ok(if unescaped.is_empty() {
                        Cow::Borrowed(rest)
                    } else {
                        unescaped.push_str(rest);
                        Cow::Owned(unescaped)
                    });
                }
                Some(b'\\') => {
                    unescaped.push_str(self.since(start));
                    self.skip();
                    unescaped.push(self.escape()?);
                    start = self.at;
                }
                Some(0..=0x1F) => return Err(self.bad("a control character inside a string")),
                Some(_) => self.skip(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, BadJson> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.skip();
                return self.escaped_unit();
            }
            _ => return Err(self.bad("no such escape")),
        };
        self.skip();
        Ok(c)
    }

    /// `\uXXXX`, or a pair of surrogates (RFC 8259 §7).
    fn escaped_unit(&mut self) -> Result<char, BadJson> {
        let first = self.hex()?;
        if !(0xD800..=0xDBFF).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.bad("half of a surrogate pair"));
        }
        if !(self.take(b'\\') && self.take(b'u')) {
            return Err(self.bad("half of a surrogate pair"));
        }
        let second = self.hex()?;
        if !(0xDC00..=0xDFFF).contains(&second) {
            return Err(self.bad("half of a surrogate pair"));
        }
        let code = (((first & 0x3FF) << 10) | (second & 0x3FF)).saturating_add(0x10000);
        char::from_u32(code).ok_or_else(|| self.bad("half of a surrogate pair"))
    }

    fn hex(&mut self) -> Result<u32, BadJson> {
        let end = self.at.saturating_add(4);
        let digits = self
            .text
            .get(self.at..end)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.bad("four hexadecimal digits are missing"))?;
        self.at = end;
        Ok(unit)
    }
}
