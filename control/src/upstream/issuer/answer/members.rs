//! The members at the top of an answer, read from bytes that need not be JSON to their end.
//!
//! A rotated refresh token exists nowhere else, so it is lifted out of whatever it stands in: an answer that breaks off,
//! that goes on after its end, that names a member twice or holds members of another type. Two things keep that safe. Only
//! a member at the top of the object is read: what stands deeper, or inside a text, is passed over by its quotes and
//! brackets, and where these no longer match, reading ends. And a text counts only with its closing quote: half a token is
//! no token.
//!
//! A name that comes twice: the last value that can be used counts, as in nearly every JSON reader (the last one wins),
//! but a `null` or an empty text takes no token away.

/// What stands at one member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A text, unescaped.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// `true` or `false`.
    Flag(bool),
    /// `null`.
    Null,
    /// An object, a list, or what cannot be read.
    Other,
}

/// The members of an answer that were asked for.
pub struct Members {
    found: Vec<(&'static str, Value)>,
    complete: bool,
}

impl std::fmt::Debug for Members {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.found.iter().map(|(name, _)| *name).collect();
        formatter
            .debug_struct("Members")
            .field("found", &names)
            .field("complete", &self.complete)
            .finish()
    }
}

impl Members {
    /// The members called `names` of `body`: a JSON object, or a form (`application/x-www-form-urlencoded`), as some older
    /// token endpoints answer. Anything else has none.
    #[must_use]
    pub fn read(body: &[u8], names: &[&'static str]) -> Self {
        let body = body.trim_ascii();
        if body.first() == Some(&b'{') {
            Scanner { bytes: body, at: 1 }.members(names)
        } else {
            Self::of_form(body, names)
        }
    }

    fn of_form(body: &[u8], names: &[&'static str]) -> Self {
        // A page has brackets, blanks or line breaks; a form has none of them.
        let is_form = body.contains(&b'=')
            && body
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"{}[]\\".contains(byte));
        let mut found = Vec::new();
        if is_form {
            for (name, value) in form_urlencoded::parse(body) {
                if let Some(name) = names.iter().find(|wanted| **wanted == name) {
                    found.push((*name, Value::Text(value.into_owned())));
                }
            }
        }
        Self {
            found,
            complete: is_form,
        }
    }

    fn values(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &Value> {
        let named = self.found.iter().filter(move |(found, _)| *found == name);
        named.map(|(_, value)| value)
    }

    /// Whether the answer was read to the end of its object (or form): what was not found is not there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The member `name` as text: the last one that is a text with anything in it, or a number as it was written.
    #[must_use]
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.values(name).rev().find_map(|value| match value {
            Value::Text(text) | Value::Number(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether the member `name` is there, but never as anything that [`Members::text`] can answer or that stands for
    /// nothing (`null`, an empty text).
    #[must_use]
    pub fn is_unusable(&self, name: &'static str) -> bool {
        let unusable = |value: &Value| matches!(value, Value::Other | Value::Flag(_));
        self.text(name).is_none() && self.values(name).any(unusable)
    }

    /// The member `name` as `true` or `false`, also where it is written as a text; `None` where it is neither, missing, or
    /// comes twice with both.
    #[must_use]
    pub fn flag(&self, name: &'static str) -> Option<bool> {
        let mut flags = self.values(name).map(|value| match value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        });
        let first = flags.next()??;
        flags.all(|flag| flag == Some(first)).then_some(first)
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The members after the opening brace.
    fn members(mut self, names: &[&'static str]) -> Members {
        let mut found = Vec::new();
        loop {
            self.pass(|byte| byte.is_ascii_whitespace() || byte == b',');
            let complete = self.peek() == Some(b'}');
            let Some((name, value)) = self.member(names) else {
                return Members { found, complete };
            };
            found.extend(name.map(|name| (name, value)));
        }
    }

    /// One member; its name where it is one of `names`. `None`: there is none, or its end cannot be told.
    fn member(&mut self, names: &[&'static str]) -> Option<(Option<&'static str>, Value)> {
        let name = text_of(self.string()?);
        let name = name.and_then(|name| names.iter().copied().find(|wanted| *wanted == name));
        self.blanks();
        self.take(b':')?;
        self.blanks();
        let value = self.value()?;
        self.blanks();
        matches!(self.peek(), Some(b',' | b'}')).then_some(())?;
        Some((name, value))
    }

    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'"' => {
                let text = text_of(self.string()?);
                Some(text.map_or(Value::Other, Value::Text))
            }
            b'{' | b'[' => self.nested().map(|()| Value::Other),
            _ => {
                let start = self.at;
                self.pass(|byte| !b"\"{}[],:".contains(&byte));
                let word = self.bytes.get(start..self.at)?.trim_ascii();
                Some(word_value(word))
            }
        }
    }

    /// Passes over an object or a list.
    fn nested(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                byte @ (b'}' | b']') => {
                    (open.pop() == Some(byte)).then_some(())?;
                }
                _ => {}
            }
            self.at += 1;
            if open.is_empty() {
                return Some(());
            }
        }
    }

    /// A string with its quotes; `None` when it does not end.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.bytes.get(start..self.at);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn blanks(&mut self) {
        self.pass(|byte| byte.is_ascii_whitespace());
    }

    fn pass(&mut self, passes: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&passes) {
            self.at += 1;
        }
    }
}

/// The text of a string with its quotes; `None` for wrong escapes, control characters and invalid UTF-8.
fn text_of(quoted: &[u8]) -> Option<String> {
    serde_json::from_slice(quoted).ok()
}

fn word_value(word: &[u8]) -> Value {
    match word {
        b"true" => Value::Flag(true),
        b"false" => Value::Flag(false),
        b"null" => Value::Null,
        _ if serde_json::from_slice::<serde_json::Number>(word).is_ok() => {
            Value::Number(String::from_utf8_lossy(word).into_owned())
        }
        _ => Value::Other,
    }
}
