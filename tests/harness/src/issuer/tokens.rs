//! The tokens Dex signs: ID tokens, and access tokens of the same shape.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::Digest as _;

use super::clock::milliseconds;
use super::dex::Dex;
use super::grants::Identity;
use super::keys::SigningKey;
use super::{Failure, jose, wire};
use crate::secrets;

const PEER_SCOPE: &str = "audience:server:client_id:";

/// `aud`: a string for one audience, a list for several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(crate) fn new(mut audiences: Vec<String>) -> Self {
        if audiences.len() == 1 {
            Self::One(audiences.remove(0))
        } else {
            Self::Many(audiences)
        }
    }
}

/// Claims in Dex's order.
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    azp: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    nonce: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

/// The client and the user of a token, and its scopes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenOrder<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) connector_id: &'a str,
    pub(crate) identity: &'a Identity,
    pub(crate) scopes: &'a [String],
    /// `nonce` of the login; empty without.
    pub(crate) nonce: &'a str,
    /// The code that is redeemed for the tokens.
    pub(crate) code: Option<&'a str>,
    /// A failure that falsifies claims.
    pub(crate) failure: Option<&'a Failure>,
}

/// A scope requests the audience of a client that does not trust the requesting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UntrustedPeer;

impl TokenOrder<'_> {
    /// An access token: its own `at_hash` is of a random string that is never shown.
    pub(crate) fn access_token(&self, dex: &Dex, issued_ms: i64) -> Result<String, UntrustedPeer> {
        self.token(dex, issued_ms, Some(&wire::new_id()), None)
    }

    /// An ID token; `access_token` is the one that is issued beside it.
    pub(crate) fn id_token(
        &self,
        dex: &Dex,
        issued_ms: i64,
        access_token: Option<&str>,
    ) -> Result<String, UntrustedPeer> {
        self.token(dex, issued_ms, access_token, self.code)
    }

    fn token(
        &self,
        dex: &Dex,
        issued_ms: i64,
        hashed: Option<&str>,
        code: Option<&str>,
    ) -> Result<String, UntrustedPeer> {
        let has = |scope: &str| self.scopes.iter().any(|requested| requested == scope);
        let mut audiences = audiences(dex, self.client_id, self.scopes)?;
        let cross_client = self.scopes.iter().any(|scope| scope.starts_with(PEER_SCOPE));
        if self.failure == Some(&Failure::OtherAudience) {
            audiences = vec!["another-client".to_owned()];
        }
        let user_id = match self.failure {
            Some(Failure::OtherSubject) => "00000000-0000-0000-0000-000000000000",
            _ => self.identity.user_id.as_str(),
        };
        let issuer = match self.failure {
            Some(Failure::OtherIssuer) => format!("{}/another", dex.issuer),
            _ => dex.issuer.clone(),
        };
        let email = has("email").then_some(self.identity);
        let claims = Claims {
            iss: issuer,
            sub: wire::subject(user_id, self.connector_id),
            aud: Audience::new(audiences),
            exp: (issued_ms + milliseconds(dex.id_token_lifetime())).div_euclid(1000),
            iat: issued_ms.div_euclid(1000),
            azp: cross_client.then_some(self.client_id),
            nonce: match self.failure {
                Some(Failure::OtherNonce) => "another-nonce",
                _ => self.nonce,
            },
            at_hash: hashed.map(half_hash),
            c_hash: code.map(half_hash),
            email: email.map(|identity| identity.email.as_str()),
            email_verified: email.map(|identity| identity.email_verified),
            groups: if has("groups") { &self.identity.groups } else { &[] },
            name: has("profile").then_some(self.identity.username.as_str()),
        };
        dex.note_expiry(claims.exp);
        Ok(sign(&dex.signing_key(), &claims))
    }
}

/// A compact JWS with Dex's header.
pub(crate) fn sign(key: &SigningKey, claims: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Header<'a> {
        alg: &'static str,
        kid: &'a str,
    }
    let header = Header {
        alg: "RS256",
        kid: &key.kid,
    };
    let input = jose::signing_input(&header, claims).expect("claims are JSON");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()));
    let token = format!("{input}.{signature}");
    secrets::note(&token);
    token
}

/// OIDC Core §3.1.3.6: base64url of the left half of SHA-256.
fn half_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&sha2::Sha256::digest(token)[..16])
}

/// `aud` for a client and its scopes: the peers it requests, and itself last unless it requests itself earlier.
pub(crate) fn audiences(dex: &Dex, client_id: &str, scopes: &[String]) -> Result<Vec<String>, UntrustedPeer> {
    let mut audiences: Vec<String> = Vec::new();
    for peer in scopes.iter().filter_map(|scope| scope.strip_prefix(PEER_SCOPE)) {
        if !dex.is_trusted(client_id, peer) {
            return Err(UntrustedPeer);
        }
        audiences.push(peer.to_owned());
    }
    if !audiences.iter().any(|audience| audience == client_id) {
        audiences.push(client_id.to_owned());
    }
    Ok(audiences)
}

/// The peer of a cross-client scope.
pub(crate) fn peer_of(scope: &str) -> Option<&str> {
    scope.strip_prefix(PEER_SCOPE)
}
