//! The top-level members of a response, read from bytes that need not be JSON to their end.
//!
//! A rotated refresh token exists nowhere else, so it is extracted from any response that holds it: one that is incomplete,
//! that continues after its end, that has a member twice or members of another type. Two rules make that safe. Only
//! top-level members are read: nested values and the content of strings are skipped by their brackets and quotes, and
//! reading ends where these do not match. And a string counts only with its closing quote: half a token is not a token.
//!
//! Of a duplicate member the last usable value counts, as in nearly every JSON reader (the last one wins), but a `null` or
//! an empty string does not replace a token.

/// The value of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A string, unescaped.
    Text(String),
    /// A number, as written.
    Number(String),
    /// `true` or `false`.
    Flag(bool),
    /// `null`.
    Null,
    /// An object, a list, or an unreadable value.
    Other,
}

/// The requested members of a response.
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
    /// The members `names` of `body`: a JSON object, or a form (`application/x-www-form-urlencoded`), which some older token
    /// endpoints send. Any other body has none.
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
        // A page has brackets, spaces or line breaks; a form has none of them.
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

    /// Whether the body was read to the end of its object (or form): a member that was not found does not exist.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The member `name` as text: the last value that is a non-empty string, or a number as written.
    #[must_use]
    pub fn text(&self, name: &'static str) -> Option<&str> {
        self.values(name).rev().find_map(|value| match value {
            Value::Text(text) | Value::Number(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    }

    /// Whether the member `name` exists, but neither as a value that [`Members::text`] returns nor as an absent one (`null`, an
    /// empty string).
    #[must_use]
    pub fn is_unusable(&self, name: &'static str) -> bool {
        let unusable = |value: &Value| matches!(value, Value::Other | Value::Flag(_));
        self.text(name).is_none() && self.values(name).any(unusable)
    }

    /// The member `name` as a boolean, also if written as a string; `None` if it is another value, missing, or present with
    /// both values.
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
            self.skip_while(|byte| byte.is_ascii_whitespace() || byte == b',');
            let complete = self.peek() == Some(b'}');
            let Some((name, value)) = self.member(names) else {
                return Members { found, complete };
            };
            found.extend(name.map(|name| (name, value)));
        }
    }

    /// One member; its name if it is one of `names`. `None`: there is no further member, or its end is not recognizable.
    fn member(&mut self, names: &[&'static str]) -> Option<(Option<&'static str>, Value)> {
        let name = text_of(self.string()?);
        let name = name.and_then(|name| names.iter().copied().find(|wanted| *wanted == name));
        self.skip_whitespace();
        self.take(b':')?;
        self.skip_whitespace();
        let value = self.value()?;
        self.skip_whitespace();
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
                self.skip_while(|byte| !b"\"{}[],:".contains(&byte));
                let word = self.bytes.get(start..self.at)?.trim_ascii();
                Some(word_value(word))
            }
        }
    }

    /// Skips an object or a list.
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

    /// A string with its quotes; `None` if it does not end.
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

    fn skip_whitespace(&mut self) {
        self.skip_while(|byte| byte.is_ascii_whitespace());
    }

    fn skip_while(&mut self, matches: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&matches) {
            self.at += 1;
        }
    }
}

/// The text of a quoted string; `None` for wrong escapes, control characters and invalid UTF-8.
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
