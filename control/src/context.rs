//! Shared resources of the components that call issuers or use the store.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::observe::metrics::Metrics;
use crate::record::keyring::KeyRing;
use crate::store::Store;
use crate::upstream::issuer::client::IssuerClient;
use crate::upstream::issuer::proven_tokens::ProvenTokens;

/// What everything that speaks to issuers shares.
#[derive(Clone)]
pub struct Context {
    /// The HTTP client.
    pub client: IssuerClient,
    /// Where past keys are remembered.
    pub store: Arc<dyn Store>,
    /// Seals them.
    pub ring: Arc<KeyRing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts and times calls.
    pub metrics: Metrics,
    /// Tokens whose signature was verified, of all issuers.
    pub proven_tokens: Arc<ProvenTokens>,
    /// How long a key that was rotated away still proves a subject.
    pub past_key_grace: Duration,
}
