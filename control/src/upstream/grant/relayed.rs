//! What a record holds for clients that refresh through the relay: which refresh tokens they hold, and the newest token
//! response as the issuer gave it. Pure.

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::record::sealed::Sealed;

/// Capacity of a chain; the oldest token is dropped first.
pub const MAX_CHAIN: usize = 16;

/// How control came to know a login. It decides how long a stale token of the user still proves it, and which record
/// presents its refresh token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Origin {
    /// By `PUT /v1/sessions`: its sign-out reaches control.
    #[default]
    Registered,
    /// From an answer that passed through the relay: its sign-out may never reach control.
    Learned,
    /// By a refresh token that a client presented. The record is named by that token until the issuer has stated whose
    /// it is.
    Presented,
    /// The same, beside another live login of the user at an issuer with one refresh token for each login. The record is
    /// of this login alone.
    Apart {
        /// Digest of the key of the user's own grant.
        #[serde(with = "digest::packed")]
        user: String,
        /// The user's sign-outs when the login became known. A later one ends it.
        sign_outs: u64,
    },
    /// Its tokens belong to the user's own grant, or are on their way there: nothing is presented or served from here.
    Moved {
        /// Digest of the key of the user's own grant.
        #[serde(with = "digest::packed")]
        user: String,
    },
}

/// The newest token response (RFC 6749 §5.1) of a grant, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredResponse {
    /// All members except `id_token`, `refresh_token` and `expires_in`, as a JSON object.
    pub sealed: Sealed,
    /// When it arrived, Unix ms.
    pub made_at_ms: u64,
    /// When its access token expires, Unix ms; `None` if the response had no `expires_in`.
    pub access_expires_at_ms: Option<u64>,
    /// Fingerprint of its ID token, if it had one.
    #[serde(with = "digest::packed::option")]
    pub id_token_fingerprint: Option<String>,
}

/// An error response in the issuer's own words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IssuerWords {
    /// HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// The part of a grant's record that the relay needs. The default is that of a login which never met the relay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relayed {
    /// How control came to know the login.
    pub origin: Origin,
    /// Fingerprints of the refresh tokens of this generation that clients hold or held, the newest last.
    #[serde(with = "digest::packed::list")]
    pub chain: Vec<String>,
    /// The newest token response.
    pub response: Option<StoredResponse>,
    /// What the issuer answered when it ended the login.
    pub words: Option<IssuerWords>,
}

impl Relayed {
    /// Adds the refresh token `fingerprint`, which a client receives. Returns those that no longer have a place.
    pub fn hand_out(&mut self, fingerprint: &str) -> Vec<String> {
        if self.chain.iter().any(|held| held == fingerprint) {
            return Vec::new();
        }
        self.chain.push(fingerprint.to_owned());
        let surplus = self.chain.len().saturating_sub(MAX_CHAIN);
        self.chain.drain(..surplus).collect()
    }
}
