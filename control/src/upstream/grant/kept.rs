//! The access token that a grant's record keeps, wherever in the record it is. Pure.

use std::time::Duration;

use tokenward_protocol::freshness::is_fresh;

use super::record::{GrantRecord, StoredAccessToken};
use super::relayed::StoredResponse;
use crate::digest;
use crate::upstream::renewal::{is_near_expiry, is_never_fresh};

/// The newest access token of a login.
#[derive(Debug, Clone, Copy)]
pub struct KeptAccessToken<'a> {
    /// Where the record has it.
    pub place: KeptIn<'a>,
    /// When it expires, Unix seconds.
    pub exp_seconds: u64,
    /// When it was issued or received, Unix seconds.
    pub issued_at_seconds: Option<u64>,
}

/// Where a record has an access token.
#[derive(Debug, Clone, Copy)]
pub enum KeptIn<'a> {
    /// In a field of its own.
    Record(&'a StoredAccessToken),
    /// In the token response that clients of the relay get.
    Response(&'a StoredResponse),
}

impl KeptAccessToken<'_> {
    /// Whether more than `margin` of its life is left.
    #[must_use]
    pub fn is_fresh(&self, margin: Duration, now_ms: u64) -> bool {
        is_fresh(self.exp_seconds, margin, now_ms)
    }

    /// Whether its successor may be fetched ahead of time.
    #[must_use]
    pub fn is_near_expiry(&self, margin: Duration, now_ms: u64) -> bool {
        is_near_expiry(
            self.exp_seconds,
            self.issued_at_seconds,
            margin,
            now_ms,
            self.spread(),
        )
    }

    /// Whether its whole life is at most `margin`.
    #[must_use]
    pub fn is_never_fresh(&self, margin: Duration) -> bool {
        is_never_fresh(self.exp_seconds, self.issued_at_seconds, margin)
    }

    /// Its share of the span over which renewals are spread.
    #[must_use]
    pub fn spread(&self) -> u32 {
        match self.place {
            KeptIn::Record(stored) => digest::spread(&stored.fingerprint),
            KeptIn::Response(response) => {
                (response.id_token_fingerprint.as_deref()).map_or(0, digest::spread)
            }
        }
    }
}

impl GrantRecord {
    /// The newest access token that came with a verified ID token of this login.
    #[must_use]
    pub fn access_token(&self) -> Option<KeptAccessToken<'_>> {
        let own = self.extras.access_token.as_ref().map(|stored| KeptAccessToken {
            place: KeptIn::Record(stored),
            exp_seconds: stored.exp_seconds,
            issued_at_seconds: stored.issued_at_seconds,
        });
        let of_response = self.usable_response().and_then(|usable| {
            let response = usable.stored;
            response.id_token_fingerprint.as_ref()?;
            let stated = response.access_expires_at_ms.map(|at_ms| at_ms / 1000);
            let of_id_token = self.id_token.as_ref().map(|token| token.exp_seconds);
            Some(KeptAccessToken {
                place: KeptIn::Response(response),
                exp_seconds: stated.or(of_id_token)?,
                issued_at_seconds: Some(response.made_at_ms / 1000),
            })
        });
        own.into_iter()
            .chain(of_response)
            .max_by_key(|kept| kept.exp_seconds)
    }
}
