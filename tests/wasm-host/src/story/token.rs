//! Tokens as issuers write them, but unsigned: the filter never verifies a signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::{AGGREGATOR_AUDIENCE, AUDIENCE, ISSUER, REMOTE_ISSUER};

/// When a token expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// So many seconds after it is made; negative is before.
    In(i64),
    /// At this Unix second.
    At(u64),
    /// It has no `exp`.
    Absent,
}

/// `exp` is so many seconds after the world's present second; negative is in the past.
#[must_use]
pub const fn exp_in(seconds: i64) -> Expiry {
    Expiry::In(seconds)
}

/// `exp` is this Unix second.
#[must_use]
pub const fn exp_at(unix_seconds: u64) -> Expiry {
    Expiry::At(unix_seconds)
}

/// There is no `exp`.
#[must_use]
pub const fn no_exp() -> Expiry {
    Expiry::Absent
}

/// A token of [`ISSUER`] for `user-1`, good at [`AUDIENCE`] and the aggregator.
#[must_use]
pub fn token(expiry: Expiry) -> TokenBuilder {
    TokenBuilder {
        expiry,
        issuer: ISSUER.into(),
        subject: "user-1".into(),
        audiences: vec![AUDIENCE.into(), AGGREGATOR_AUDIENCE.into()],
        groups: 3,
        claims: Map::new(),
    }
}

/// A token of [`REMOTE_ISSUER`] for `user-1`, good at [`AUDIENCE`] only.
#[must_use]
pub fn exchanged_token(expiry: Expiry) -> TokenBuilder {
    token(expiry).issuer(REMOTE_ISSUER).audiences(&[AUDIENCE])
}

/// A JWT to be made. The same builder at the same moment makes the same bytes; [`TokenBuilder::id`] makes
/// another token of equal standing.
#[derive(Debug, Clone)]
pub struct TokenBuilder {
    expiry: Expiry,
    issuer: String,
    subject: String,
    audiences: Vec<String>,
    groups: usize,
    claims: Map<String, Value>,
}

impl TokenBuilder {
    /// `iss`.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// `sub`.
    #[must_use]
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = subject.into();
        self
    }

    /// `aud`, written as one string where there is one.
    #[must_use]
    pub fn audiences(mut self, audiences: &[&str]) -> Self {
        self.audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        self
    }

    /// How many groups pad it, about 37 bytes of token each; 3 by default.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// `jti`.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.claim("jti", id)
    }

    /// Any claim; goes before the others, `null` removes one.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// When a token made at `now_seconds` expires.
    #[must_use]
    pub fn exp_seconds(&self, now_seconds: u64) -> Option<u64> {
        match self.expiry {
            Expiry::In(span) => Some(now_seconds.saturating_add_signed(span)),
            Expiry::At(moment) => Some(moment),
            Expiry::Absent => None,
        }
    }

    /// The compact JWT, made at `now_seconds`.
    #[must_use]
    pub fn make(&self, now_seconds: u64) -> String {
        let groups: Vec<String> = (0..self.groups)
            .map(|group| format!("platform:team-{group:04}:admins"))
            .collect();
        let mut payload = json!({
            "iss": self.issuer,
            "sub": self.subject,
            "iat": now_seconds,
            "email": format!("{}@example.com", self.subject),
            "email_verified": true,
            "groups": groups,
        });
        payload["aud"] = match self.audiences.as_slice() {
            [audience] => json!(audience),
            audiences => json!(audiences),
        };
        if let Some(exp) = self.exp_seconds(now_seconds) {
            payload["exp"] = exp.into();
        }
        for (name, value) in &self.claims {
            match (value, payload.as_object_mut()) {
                (Value::Null, Some(fields)) => _ = fields.remove(name),
                _ => payload[name] = value.clone(),
            }
        }
        let header = encode(br#"{"alg":"RS256","kid":"4d8b1c1e8e8f4f0f"}"#);
        let payload = encode(payload.to_string().as_bytes());
        // 256 bytes that depend on the payload, as an RS256 signature does.
        let signature = encode(&signature_like(payload.as_bytes()));
        format!("{header}.{payload}.{signature}")
    }
}

fn signature_like(payload: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    (0..8_u8)
        .flat_map(|block| {
            Sha256::new()
                .chain_update([block])
                .chain_update(payload)
                .finalize()
                .to_vec()
        })
        .collect()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
