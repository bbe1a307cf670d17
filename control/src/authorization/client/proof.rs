//! Checks a client's assertion: claims, signature, and that it was not used before at any replica.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::assertion::{ASSERTION_TYPE, Assertion, BadAssertion};
use super::error::ClientError;
use super::metadata_document::MetadataDocuments;
use super::{ClientKeys, metadata_document::document::BadDocument};
use crate::authorization::source::Source;
use crate::clock::Clock;
use crate::context::Context;
use crate::digest::hex_of_parts;
use crate::store::{Expected, Key, Store, WriteOutcome};
use crate::upstream::issuer::key_set::KeySet;

/// Kind of the records of used assertions.
const USED: &str = "login_assertion";
/// Their content, its format number: that they exist is what counts.
const FORMAT: [u8; 1] = [1];

/// An assertion with whose it should be.
pub(super) struct Proving<'a> {
    pub(super) client_id: &'a str,
    pub(super) keys: &'a ClientKeys,
    pub(super) assertion_type: Option<&'a str>,
    pub(super) token: &'a SecretString,
}

/// Checks assertions for one authorization server.
#[derive(Debug)]
pub(super) struct Prover {
    issuer: String,
    token_endpoint: String,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Prover {
    pub(super) fn new(issuer: &str, context: &Context) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/token"),
            store: Arc::clone(&context.store),
            clock: Arc::clone(&context.clock),
        }
    }

    /// Checks `proving` and marks its assertion as used.
    pub(super) async fn check(
        &self,
        proving: &Proving<'_>,
        documents: &MetadataDocuments,
        source: Source,
    ) -> Result<(), ClientError> {
        if proving.assertion_type != Some(ASSERTION_TYPE) {
            return Err(BadAssertion::Type.into());
        }
        let now_seconds = self.clock.now_ms() / 1000;
        let token = proving.token.expose_secret();
        // The draft that revises RFC 7523 allows the issuer alone; published clients send the token endpoint.
        let audiences = [self.issuer.as_str(), self.token_endpoint.as_str()];
        let assertion = Assertion::read(token, proving.client_id, &audiences, now_seconds)?;
        let keys = key_set(&assertion, proving.keys, documents, source).await?;
        if !assertion.is_signed(token, &keys.keys) {
            return Err(BadAssertion::Signature.into());
        }
        self.use_up(proving.client_id, &assertion, now_seconds).await
    }

    /// Marks an assertion as used: of several requests with it, at any replicas, exactly one gets on.
    async fn use_up(
        &self,
        client_id: &str,
        assertion: &Assertion,
        now_seconds: u64,
    ) -> Result<(), ClientError> {
        let key = Key::new(USED, &hex_of_parts(&[client_id, &assertion.id]));
        let lifetime = Duration::from_secs(assertion.remembered_for_seconds(now_seconds));
        let written = self
            .store
            .write(&key, Expected::Absent, &FORMAT, Some(lifetime))
            .await?;
        match written {
            WriteOutcome::Done(_) => Ok(()),
            WriteOutcome::Conflict(_) => Err(BadAssertion::Used.into()),
        }
    }
}

/// The client's keys. A set that was fetched earlier and has no key that the assertion may be signed by is fetched again: the
/// client may have a new key.
async fn key_set(
    assertion: &Assertion,
    keys: &ClientKeys,
    documents: &MetadataDocuments,
    source: Source,
) -> Result<Arc<KeySet>, ClientError> {
    match keys {
        ClientKeys::Inline(jwks) => match KeySet::read(jwks.as_bytes()) {
            Ok(set) => Ok(Arc::new(set)),
            Err(_) => Err(ClientError::Document(BadDocument::Keys.into())),
        },
        ClientKeys::At(uri) => {
            let set = documents.keys(uri, false, source).await?;
            if set.keys.iter().any(|key| assertion.may_be_signed_by(key)) {
                return Ok(set);
            }
            Ok(documents.keys(uri, true, source).await?)
        }
    }
}
