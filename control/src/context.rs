//! Shared resources of the components that call issuers or use the store.

use std::sync::Arc;
use std::time::Duration;

use crate::activity::Recorder;
use crate::clock::Clock;
use crate::filter_state::SignOutLog;
use crate::observe::metrics::Metrics;
use crate::record::keyring::KeyRing;
use crate::store::Store;
use crate::upstream::issuer::client::IssuerClient;
use crate::upstream::issuer::proven_tokens::ProvenTokens;

/// Handles to the shared resources. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// HTTP client for issuers.
    pub client: IssuerClient,
    /// The key-value store of all records.
    pub store: Arc<dyn Store>,
    /// Seals and opens the tokens in records.
    pub ring: Arc<KeyRing>,
    /// Time source.
    pub clock: Arc<dyn Clock>,
    /// Counters and timings.
    pub metrics: Metrics,
    /// Records what happens to users and sessions.
    pub recorder: Recorder,
    /// Tokens whose signature was verified, of all issuers.
    pub proven_tokens: Arc<ProvenTokens>,
    /// The log of sign-outs that filters read.
    pub sign_outs: SignOutLog,
    /// How long a signing key that the issuer withdrew still proves the subject of a token.
    pub past_key_grace: Duration,
}
