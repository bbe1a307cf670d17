//! A token response (RFC 6749 §5.1) as a whole: the relay hands on every member that the issuer sent, also those that
//! control has no use for.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::members::Members;
use crate::upstream::issuer::access_token::GivenAccessToken;

/// Members that are kept apart from the others.
const ID_TOKEN: &str = "id_token";
const REFRESH_TOKEN: &str = "refresh_token";
const EXPIRES_IN: &str = "expires_in";

/// A token response. Its members are secrets.
#[derive(Debug, Clone)]
pub struct TokenResponse {
    /// `id_token` (OpenID Connect Core §3.1.3.3).
    pub id_token: Option<SecretString>,
    /// `refresh_token`.
    pub refresh_token: Option<SecretString>,
    /// `expires_in`: lifetime of the access token at the time of the response.
    pub expires_in_seconds: Option<u64>,
    /// All other members, `access_token` among them, as a JSON object.
    pub others: SecretString,
}

impl TokenResponse {
    /// Reads the body of a 2xx. Of a body that is not JSON to its end, the members that RFC 6749 names are read
    /// tolerantly ([`super::members`]). `None` without `access_token`, which §5.1 requires.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let mut members = match serde_json::from_slice::<Map<String, Value>>(body) {
            Ok(members) => members,
            Err(_) => read_tolerantly(body),
        };
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        text(members.get("access_token").cloned())?;
        let seconds = match members.remove(EXPIRES_IN) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(digits)) => digits.parse().ok(),
            _ => None,
        };
        Some(Self {
            id_token: text(members.remove(ID_TOKEN)).map(Into::into),
            refresh_token: text(members.remove(REFRESH_TOKEN)).map(Into::into),
            expires_in_seconds: seconds,
            others: Value::Object(members).to_string().into(),
        })
    }

    /// The access token, and its life at the time of the response.
    #[must_use]
    pub fn access_token(&self) -> Option<GivenAccessToken> {
        let others: Map<String, Value> = serde_json::from_str(self.others.expose_secret()).ok()?;
        Some(GivenAccessToken {
            token: others.get("access_token")?.as_str()?.into(),
            expires_in_seconds: self.expires_in_seconds,
        })
    }

    /// The response as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut members: Map<String, Value> =
            serde_json::from_str(self.others.expose_secret()).unwrap_or_default();
        let tokens = [(ID_TOKEN, &self.id_token), (REFRESH_TOKEN, &self.refresh_token)];
        for (name, token) in tokens {
            if let Some(token) = token {
                members.insert(name.to_owned(), token.expose_secret().into());
            }
        }
        if let Some(seconds) = self.expires_in_seconds {
            members.insert(EXPIRES_IN.to_owned(), seconds.into());
        }
        Value::Object(members).to_string().into_bytes()
    }
}

fn read_tolerantly(body: &[u8]) -> Map<String, Value> {
    const NAMED: [&str; 6] = [
        "access_token",
        "token_type",
        "scope",
        ID_TOKEN,
        REFRESH_TOKEN,
        EXPIRES_IN,
    ];
    let members = Members::read(body, &NAMED);
    let found = NAMED.iter().filter_map(|name| Some((*name, members.text(name)?)));
    found.map(|(name, text)| (name.to_owned(), text.into())).collect()
}
