//! Where a request comes from, and how much one source may have control do.
//!
//! Registrations, fetches of metadata documents and consent pages are requests without a credential. Each source has an allowance of
//! its own, so that one that floods control takes nothing from the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::upstream::issuer::bucket::Bucket;

/// Sources that are counted at a time; each takes about 64 bytes.
pub const MOST_SOURCES: usize = 10_000;
/// Prefix length of an IPv6 source: the smallest network that a subscriber gets.
const IPV6_PREFIX_BITS: u32 = 64;

/// The source of a request: an IPv4 address, or the /64 network of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // An IPv4 client of a dual-stack listener arrives as `::ffff:a.b.c.d`.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let host_bits = u128::BITS - IPV6_PREFIX_BITS;
                Self(IpAddr::V6((address.to_bits() >> host_bits << host_bits).into()))
            }
        }
    }
}

/// What a source's allowance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Allowance {
    /// Client registrations. Some clients register for each connection, and all users of a hosted client share a source.
    Registration,
    /// Fetches of metadata documents that are not in the cache.
    DocumentFetch,
    /// Consent pages and their answers.
    Consent,
    /// Logins at the operators' console.
    ConsoleLogin,
}

impl Allowance {
    /// The time in which one more is allowed, and how many can be made at once.
    const fn rate(self) -> (Duration, u32) {
        match self {
            Self::Registration => (Duration::from_secs(1), 60),
            Self::DocumentFetch => (Duration::from_secs(3), 20),
            Self::Consent => (Duration::from_millis(500), 60),
            Self::ConsoleLogin => (Duration::from_secs(3), 20),
        }
    }

    fn bucket(self) -> Bucket {
        let (interval, burst) = self.rate();
        Bucket::every(interval, burst)
    }
}

/// A source has used up its allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests from this address")]
pub struct SourceLimited {
    /// When the next one is allowed.
    pub retry_after: Duration,
}

/// The allowances of all sources, in one process: a flood grows with its sender, not with the replicas.
#[derive(Debug, Default)]
pub struct SourceLimits(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    of_sources: HashMap<(Source, Allowance), Bucket>,
    /// Shared by the sources for which no place is left.
    of_the_rest: HashMap<Allowance, Bucket>,
}

impl SourceLimits {
    /// Takes one from the allowance of `source`.
    ///
    /// # Errors
    /// [`SourceLimited`].
    pub fn take(&self, source: Source, allowance: Allowance, now_ms: u64) -> Result<(), SourceLimited> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets {
            of_sources,
            of_the_rest,
        } = &mut *buckets;
        if !of_sources.contains_key(&(source, allowance)) && of_sources.len() >= MOST_SOURCES {
            // A full bucket is the same as none.
            of_sources.retain(|_, bucket| !bucket.is_full(now_ms));
        }
        let bucket = if of_sources.contains_key(&(source, allowance)) || of_sources.len() < MOST_SOURCES {
            of_sources
                .entry((source, allowance))
                .or_insert_with(|| allowance.bucket())
        } else {
            of_the_rest.entry(allowance).or_insert_with(|| allowance.bucket())
        };
        bucket
            .take(now_ms)
            .map_err(|retry_after| SourceLimited { retry_after })
    }
}
