//! Requests to the token endpoint: the form and the client's authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::DexClient;
use super::answers::DexError;
use super::dex::Dex;

/// A form body. Of repeated names the first counts.
#[derive(Debug, Default)]
pub(crate) struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// The fields of a form body; none when the content type is another.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Self::default();
        }
        Self {
            fields: form_urlencoded::parse(body).into_owned().collect(),
        }
    }

    /// The parameters of a query.
    pub(crate) fn of_query(query: &str) -> Self {
        Self {
            fields: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        }
    }

    /// All fields as a query again.
    pub(crate) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.fields)
            .finish()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| field == name)
    }

    /// The value, empty when absent: Dex makes no difference.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    pub(crate) fn scopes(&self) -> Vec<String> {
        self.get("scope").split_whitespace().map(str::to_owned).collect()
    }

    /// The authenticated client: Basic with both halves form-encoded (RFC 6749 §2.3.1), or the form.
    pub(crate) fn client<'d>(&self, headers: &HeaderMap, dex: &'d Dex) -> Result<&'d DexClient, DexError> {
        if dex.post_only && headers.contains_key(AUTHORIZATION) {
            return Err(DexError::invalid_client());
        }
        let (id, secret) = match basic(headers) {
            Some((id, secret)) => (
                unescape(&id).ok_or_else(|| DexError::invalid_request("client_id improperly encoded"))?,
                unescape(&secret)
                    .ok_or_else(|| DexError::invalid_request("client_secret improperly encoded"))?,
            ),
            None => (
                self.get("client_id").to_owned(),
                self.get("client_secret").to_owned(),
            ),
        };
        dex.client(&id)
            .filter(|client| client.secret == secret)
            .ok_or_else(DexError::invalid_client)
    }
}

pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| (id.to_owned(), secret.to_owned()))
}

/// Form decoding that refuses a `%` without two hex digits.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            }
            b'+' => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}
