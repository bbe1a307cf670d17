//! Which user an exchanged token was given for: the aggregator presents it at the gateway as it is, and once it is stale
//! nothing else connects it with the user's grant. The record is found by the token's digest, so it is no secret and the
//! token is its own proof.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Exchanges;
use super::record::ExchangeKey;
use crate::digest;
use crate::record::codec;
use crate::store::{Expected, Key, StoreError, WriteOutcome};
use crate::upstream::entitlement::Entitlement;
use crate::upstream::grant::record::GrantKey;
use crate::upstream::issuer::proven_tokens::TokenDigest;

/// Version of both records' formats.
const FORMAT: u8 = 1;
/// So many of the newest tokens of one exchange are remembered: a client that renews in time leaves one behind for each
/// token's life, and all of them would last for the grace.
const MAX_GIVEN: usize = 16;

/// The tokens of one exchange that are remembered, the newest last, as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct GivenTokens {
    format: u8,
    #[serde(with = "digest::packed::list")]
    tokens: Vec<String>,
}

/// An exchanged token that was given to the aggregator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenToken {
    format: u8,
    #[serde(with = "digest::packed")]
    exchange: String,
    #[serde(with = "digest::packed")]
    grant: String,
    /// The name of the server that it was given for.
    pub server: String,
    /// The home issuer.
    pub issuer: String,
    /// The client of the home issuer.
    pub client_id: String,
    /// `iat` of the home token that was presented for it, Unix seconds; 0 if it had none.
    pub home_issued_at_seconds: u64,
    /// Digest of the home issuer's session (`sid`) in which that token was issued, if it named one.
    #[serde(with = "digest::packed::option")]
    pub home_sid: Option<String>,
    /// The user's count of sign-outs at the time.
    pub sign_outs: u64,
}

impl GivenToken {
    /// The token of `exchange`, given for `server`; `issuer` and `client_id` are those of `grant`.
    #[must_use]
    pub fn new(
        exchange: &ExchangeKey,
        grant: &GrantKey,
        server: &str,
        issuer: &str,
        client_id: &str,
    ) -> Self {
        Self {
            format: FORMAT,
            exchange: exchange.digest().to_owned(),
            grant: grant.digest().to_owned(),
            server: server.to_owned(),
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            home_issued_at_seconds: 0,
            home_sid: None,
            sign_outs: 0,
        }
    }

    /// The same with the right by which it was given.
    #[must_use]
    pub fn with_entitlement(self, entitlement: Entitlement) -> Self {
        Self {
            home_issued_at_seconds: entitlement.issued_at_seconds.unwrap_or(0),
            sign_outs: entitlement.sign_outs.unwrap_or(0),
            ..self
        }
    }

    /// The same with the home issuer's session.
    #[must_use]
    pub fn with_home_session(self, sid: Option<String>) -> Self {
        Self {
            home_sid: sid,
            ..self
        }
    }

    /// The user's grant.
    #[must_use]
    pub fn grant(&self) -> GrantKey {
        GrantKey::from_digest(self.grant.clone())
    }

    /// The right that the token still proves, unless the user has signed out since.
    #[must_use]
    pub fn entitlement(&self) -> Entitlement {
        Entitlement {
            sign_outs: Some(self.sign_outs),
            issued_at_seconds: Some(self.home_issued_at_seconds),
            only_registered: false,
        }
    }

    /// Whether it may be presented at the server `name`, whose exchange for this grant is `exchange`: the server that it
    /// was given for, or one with the very same exchange.
    #[must_use]
    pub fn is_for(&self, name: &str, exchange: &ExchangeKey) -> bool {
        self.server == name || self.exchange == exchange.digest()
    }

    /// Whether a sign-out or a logout that ends `later` ends this one too.
    fn ends_with(&self, later: &Self) -> bool {
        self.grant == later.grant && self.sign_outs == later.sign_outs && self.home_sid == later.home_sid
    }
}

fn key_of(token: &str) -> Key {
    Key::new("given", token)
}

impl Exchanges {
    /// Remembers `given` about `token` for `lifetime`. The record of an earlier request stays if it says the same: the
    /// earlier home token is the more cautious proof.
    ///
    /// # Errors
    /// [`StoreError`]; the token must not be given then.
    pub async fn remember_given(
        &self,
        token: &SecretString,
        given: &GivenToken,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let token = TokenDigest::of(token.expose_secret()).fingerprint();
        let key = key_of(&token);
        let bytes = codec::encode("serialize given token", given)?;
        let store = &self.inner.context.store;
        let mut expected = Expected::Absent;
        loop {
            let written = store.write(&key, expected, &bytes, Some(lifetime)).await?;
            expected = match written {
                WriteOutcome::Done(_) if expected == Expected::Absent => break,
                WriteOutcome::Done(_) => return Ok(()),
                WriteOutcome::Conflict(None) => Expected::Absent,
                WriteOutcome::Conflict(Some(entry)) => {
                    let there = codec::decode::<GivenToken>(FORMAT, &key, &entry.value);
                    if there.is_ok_and(|there| there.ends_with(given)) {
                        return Ok(());
                    }
                    Expected::At(entry.revision)
                }
            };
        }
        self.forget_oldest_given(&given.exchange, token, lifetime).await
    }

    /// Adds `token` to the list of its exchange, and forgets the ones that no longer fit.
    async fn forget_oldest_given(
        &self,
        exchange: &str,
        token: String,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        let store = &self.inner.context.store;
        let key = Key::new("given_tokens", exchange);
        loop {
            let (expected, mut tokens) = match store.read(&key).await? {
                // A list that cannot be read is begun again: what it named expires by itself.
                Some(entry) => (
                    Expected::At(entry.revision),
                    codec::decode::<GivenTokens>(FORMAT, &key, &entry.value)
                        .map_or_else(|_| Vec::new(), |list| list.tokens),
                ),
                None => (Expected::Absent, Vec::new()),
            };
            tokens.push(token.clone());
            let surplus = tokens.len().saturating_sub(MAX_GIVEN);
            let oldest: Vec<String> = tokens.drain(..surplus).collect();
            let list = GivenTokens {
                format: FORMAT,
                tokens,
            };
            let bytes = codec::encode("serialize given tokens", &list)?;
            if let WriteOutcome::Done(_) = store.write(&key, expected, &bytes, Some(lifetime)).await? {
                for token in oldest {
                    store.delete(&key_of(&token), Expected::Any).await?;
                }
                return Ok(());
            }
        }
    }

    /// The record of the token with this digest; `None` if it was not given here, or long ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn given(&self, token: &TokenDigest) -> Result<Option<GivenToken>, StoreError> {
        let key = key_of(&token.fingerprint());
        let Some(entry) = self.inner.context.store.read(&key).await? else {
            return Ok(None);
        };
        codec::decode(FORMAT, &key, &entry.value).map(Some)
    }
}
