//! Tokens made by hand, for what an issuer never issues: without expiry, unsigned, signed by a stranger.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::keys::SigningKey;
use super::{jose, wire};
use crate::secrets;

/// A token in the making. It starts as a good ID token of the issuer and is signed by it, unless set otherwise.
#[derive(Debug, Clone)]
pub struct TokenDraft {
    now_seconds: i64,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signer: Signer,
}

#[derive(Debug, Clone)]
enum Signer {
    Key(SigningKey),
    Nobody,
    SharedSecret(String),
}

impl TokenDraft {
    pub(crate) fn new(key: SigningKey, now_seconds: i64, claims: Map<String, Value>) -> Self {
        let mut header = Map::new();
        header.insert("alg".to_owned(), json!("RS256"));
        header.insert("kid".to_owned(), json!(key.kid));
        Self {
            now_seconds,
            header,
            claims,
            signer: Signer::Key(key),
        }
    }

    /// Sets a claim to any JSON value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves a claim out.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// `exp`, seconds from the issuer's now; negative for an expired token.
    pub fn expires_in_seconds(self, seconds: i64) -> Self {
        let exp = self.now_seconds + seconds;
        self.claim("exp", exp)
    }

    /// `aud` as a list.
    pub fn audiences(self, audiences: &[&str]) -> Self {
        self.claim("aud", audiences)
    }

    /// Sets a member of the JOSE header.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// `alg: none` and an empty signature (RFC 7518 §3.6).
    pub fn unsigned(mut self) -> Self {
        self.signer = Signer::Nobody;
        self.header("alg", "none")
    }

    /// HS256 with the issuer's public key in PEM as the secret: the classic confusion of algorithms.
    pub fn hs256_with_public_key(mut self) -> Self {
        if let Signer::Key(key) = &self.signer {
            self.signer = Signer::SharedSecret(key.public_pem());
        }
        self.header("alg", "HS256")
    }

    /// Signed with a key the issuer does not have, under the issuer's key id.
    pub fn signed_by_a_stranger(mut self) -> Self {
        self.signer = Signer::Key(SigningKey::new());
        self
    }

    /// With a key id the issuer has never published.
    pub fn unknown_key_id(self) -> Self {
        self.header("kid", wire::new_key_id())
    }

    /// The compact token.
    pub fn token(&self) -> String {
        let input = jose::signing_input(&self.header, &self.claims).expect("a draft is JSON");
        let signature = match &self.signer {
            Signer::Key(key) => key.sign(input.as_bytes()),
            Signer::Nobody => Vec::new(),
            Signer::SharedSecret(secret) => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
                aws_lc_rs::hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
            }
        };
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
        secrets::note(&token);
        token
    }
}
