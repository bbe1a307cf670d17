//! Access tokens as our own authorization server signs them, made without its code: good ones, and others.

use serde_json::{Value, json};

use super::{Login, World};
use crate::issuer::Issuer;
use crate::issuer::jose::Jws;
use crate::secrets;

/// An access token that is not signed yet.
#[derive(Debug, Clone)]
pub struct OwnToken {
    header: Value,
    claims: Value,
}

impl OwnToken {
    /// With another member of its header; `null` leaves it out.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// With another claim; `null` leaves it out.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    /// Issued at that moment, with this life, in seconds.
    pub fn issued(self, at_seconds: i64, life_seconds: i64) -> Self {
        self.claim("iat", at_seconds)
            .claim("exp", at_seconds + life_seconds)
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if value.is_null() {
        object.as_object_mut().map(|members| members.remove(name));
    } else {
        object[name] = value;
    }
}

impl<I: Issuer> World<I> {
    /// The access token of `login`'s session for `server`, issued now and good for an hour.
    ///
    /// # Panics
    /// In a world without an authorization server.
    pub fn own_token(&self, login: &Login, server: &str) -> OwnToken {
        let authorization = self.authorization();
        let id_token = Jws::read(&login.tokens.id_token).expect("a readable ID token");
        let token = OwnToken {
            header: json!({"alg": "EdDSA", "typ": "at+jwt", "kid": authorization.key_id()}),
            claims: json!({
                "iss": authorization.issuer(),
                "sub": id_token.text("sub").unwrap_or_default(),
                "aud": [self.resource(server)],
                "client_id": "https://client.example.com/metadata.json",
                "scope": "mcp offline_access",
                "jti": crate::issuer::fingerprint(&format!("{} {server}", login.session)),
                "sid": login.session,
            }),
        };
        token.issued(self.home.clock().now_ms().div_euclid(1000), 3600)
    }

    /// `token`, signed by our own authorization server's key.
    ///
    /// # Panics
    /// In a world without an authorization server.
    pub fn sign(&self, token: &OwnToken) -> String {
        let signed = self.authorization().sign(&token.header, &token.claims);
        secrets::note(&signed);
        signed
    }
}
