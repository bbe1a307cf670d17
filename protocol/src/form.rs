//! `application/x-www-form-urlencoded` as OAuth requests use it (RFC 6749 §3.2, Appendix B), parsed strictly: parsers
//! repair a malformed form differently, and would then disagree about the request.

use std::fmt;

/// Maximum number of parameters in a form. Once decoded, each costs many times its bytes.
pub const MAX_PARAMETERS: usize = 64;

/// Why bytes are not a form. The message contains nothing of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAForm {
    /// `%` without two hexadecimal digits.
    #[error("the form has a % that is not followed by two hexadecimal digits")]
    Percent,
    /// Not UTF-8 once percent-decoded.
    #[error("the form is not valid UTF-8 once percent-decoded")]
    NotUtf8,
    /// A control character, such as NUL. No parameter may contain one (RFC 6749 Appendix A).
    #[error("the form holds a control character")]
    ControlCharacter,
    /// More than [`MAX_PARAMETERS`].
    #[error("the form has more than {MAX_PARAMETERS} parameters")]
    TooMany,
}

/// A parameter was sent more than once (RFC 6749 §3.2 forbids it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedParameter;

/// The parameters of a form, decoded, in their order.
#[derive(Clone)]
pub struct Form(Vec<(String, String)>);

/// Values are tokens and secrets, so only their number is shown.
impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Form").field(&self.0.len()).finish()
    }
}

impl Form {
    /// Parses a form.
    ///
    /// # Errors
    /// [`NotAForm`].
    pub fn read(form: &[u8]) -> Result<Self, NotAForm> {
        let mut pairs = Vec::new();
        for part in form.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            if pairs.len() == MAX_PARAMETERS {
                return Err(NotAForm::TooMany);
            }
            let mut halves = part.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default())?;
            pairs.push((name, decoded(halves.next().unwrap_or_default())?));
        }
        Ok(Self(pairs))
    }

    /// All parameters with their values, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether some parameter was sent more than once (RFC 6749 §3.2 forbids it).
    #[must_use]
    pub fn has_repeated(&self) -> bool {
        let mut names: Vec<&str> = self.pairs().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair.first() == pair.last())
    }

    /// All values of `name` that are not empty: a parameter without a value counts as omitted (RFC 6749 §3.2).
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(parameter, _)| parameter == name);
        named
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The value of `name`, which may occur once.
    ///
    /// # Errors
    /// [`RepeatedParameter`], also if all but one are empty.
    pub fn once(&self, name: &str) -> Result<Option<&str>, RepeatedParameter> {
        Ok(self.once_or_empty(name)?.filter(|value| !value.is_empty()))
    }

    /// Like [`Form::once`], but returns a parameter without a value as an empty string.
    ///
    /// # Errors
    /// [`RepeatedParameter`].
    pub fn once_or_empty(&self, name: &str) -> Result<Option<&str>, RepeatedParameter> {
        let mut named = self.0.iter().filter(|(parameter, _)| parameter == name);
        match (named.next(), named.next()) {
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
            (_, Some(_)) => Err(RepeatedParameter),
        }
    }
}

/// Appends a parameter to a form. `name` consists of letters and `_`.
pub(crate) fn append_pair(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.push_str(name);
    form.push('=');
    let digit = |nibble: u8| {
        char::from_digit(u32::from(nibble), 16)
            .unwrap_or('0')
            .to_ascii_uppercase()
    };
    for byte in value.bytes() {
        match byte {
            b' ' => form.push('+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                form.push(char::from(byte));
            }
            _ => {
                form.push('%');
                form.push(digit(byte >> 4));
                form.push(digit(byte & 15));
            }
        }
    }
}

/// Decodes `+` as a blank and `%XX` as a byte.
fn decoded(text: &[u8]) -> Result<String, NotAForm> {
    // Tokens need no decoding, and are nearly all of a form.
    let bytes = if any_byte(text, |byte| (byte == b'+') | (byte == b'%')) {
        unescaped(text)?
    } else {
        text.to_vec()
    };
    if any_byte(&bytes, |byte| byte.is_ascii_control()) {
        return Err(NotAForm::ControlCharacter);
    }
    String::from_utf8(bytes).map_err(|_| NotAForm::NotUtf8)
}

/// Whether `is_wanted` holds for some byte. Looks at all of them, several at once.
fn any_byte(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | is_wanted(*byte))
}

fn unescaped(text: &[u8]) -> Result<Vec<u8>, NotAForm> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit(), digit());
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(NotAForm::Percent);
                };
                u8::try_from(high * 16 + low).map_err(|_| NotAForm::Percent)?
            }
            byte => byte,
        });
    }
    Ok(bytes)
}
