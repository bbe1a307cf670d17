//! JWK sets (RFC 7517 §5), and how old a set can be when it arrives (RFC 9111).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, DATE, EXPIRES, HeaderName};
use serde_json::{Map, Value};

use super::jwk::{NotUsed, UnusedKey, VerifyingKey};

/// Keys of one set that are used; each takes memory and room in the store. A body of 256 KiB holds about 600 RSA keys.
pub const MOST_KEYS: usize = 1000;
/// Reasons that are remembered for keys that are left out.
const MOST_UNUSED: usize = 100;
/// The assumed cache lifetime of a set whose response does not state one.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// The longest assumed age of a set whose response has no `Age`.
const LONGEST_ASSUMED_AGE: Duration = Duration::from_secs(600);
/// The largest `Age` that is accepted.
const LARGEST_AGE: Duration = Duration::from_secs(24 * 3600);

/// A key set, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    /// At most [`MOST_KEYS`], those with `use: sig` first.
    pub keys: Vec<VerifyingKey>,
    /// Keys that are not used, those for other uses included, with the reasons.
    pub unused: Vec<UnusedKey>,
    /// How many more keys the set holds than are used or named in `unused`.
    pub more: usize,
}

/// Why a body is not a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Not a JSON object with an array `keys`.
    #[error("not a JWK set")]
    NotASet,
    /// No key at all, or none with a readable type: the issuer has not filled the set yet, or it was damaged on the way.
    #[error("the key set is empty")]
    Empty,
}

impl KeySet {
    /// Reads a JWK set; a byte order mark before it is ignored (RFC 8259 §8.1).
    ///
    /// # Errors
    /// [`BadKeySet`].
    pub fn read(body: &[u8]) -> Result<Self, BadKeySet> {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let document: Map<String, Value> = serde_json::from_slice(body).map_err(|_| BadKeySet::NotASet)?;
        let members = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(BadKeySet::NotASet)?;
        let (mut for_signatures, mut others, mut unused) = (Vec::new(), Vec::new(), Vec::new());
        for member in members {
            match read(member) {
                Ok((key, true)) => for_signatures.push(key),
                Ok((key, false)) => others.push(key),
                Err(why) => unused.push(why),
            }
        }
        for_signatures.append(&mut others);
        let is_key = |unused: &UnusedKey| !matches!(unused.why, NotUsed::Unreadable(_));
        if for_signatures.is_empty() && !unused.iter().any(is_key) {
            return Err(BadKeySet::Empty);
        }
        let more = for_signatures.len().saturating_sub(MOST_KEYS) + unused.len().saturating_sub(MOST_UNUSED);
        for_signatures.truncate(MOST_KEYS);
        unused.truncate(MOST_UNUSED);
        Ok(Self {
            keys: for_signatures,
            unused,
            more,
        })
    }

    /// The number of keys that are meant for signatures and cannot be used.
    #[must_use]
    pub fn unusable(&self) -> usize {
        let is_unusable = |unused: &&UnusedKey| unused.why != NotUsed::OtherUse;
        self.unused.iter().filter(is_unusable).count() + self.more
    }

    /// The reasons for [`KeySet::unusable`] keys as text for an operator, each once, at most five.
    #[must_use]
    pub fn unusable_reasons(&self) -> String {
        const MOST_REASONS: usize = 5;
        let mut reasons: Vec<String> = Vec::new();
        for unused in self.unused.iter().filter(|key| key.why != NotUsed::OtherUse) {
            let why = unused.why.to_string();
            if !reasons.contains(&why) && reasons.len() < MOST_REASONS {
                reasons.push(why);
            }
        }
        if self.more > 0 {
            reasons.push(format!("more than {MOST_KEYS} keys are not read"));
        }
        reasons.join("; ")
    }
}

/// One key, and whether it has `use: sig`.
fn read(member: &Value) -> Result<(VerifyingKey, bool), UnusedKey> {
    let Some(jwk) = member.as_object() else {
        return Err(UnusedKey {
            id: None,
            why: NotUsed::Unreadable("it is not a JSON object"),
        });
    };
    let is_for_signatures = jwk.get("use").and_then(Value::as_str) == Some("sig");
    match VerifyingKey::read(jwk) {
        Ok(key) => Ok((key, is_for_signatures)),
        Err(why) => Err(UnusedKey {
            id: jwk.get("kid").and_then(Value::as_str).map(str::to_owned),
            why,
        }),
    }
}

/// The cache headers of a response (RFC 9111 §5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheTime {
    /// How long caches may store the response.
    pub lifetime: Option<Duration>,
    /// How long a cache has stored it.
    pub age: Option<Duration>,
}

impl CacheTime {
    /// Reads a response's headers. Of several lifetimes the longest counts: any cache may have followed it.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let seconds = |text: &str| {
            text.trim_matches([' ', '"'])
                .parse()
                .ok()
                .map(Duration::from_secs)
        };
        let mut lifetime = None;
        for directive in headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = match name.trim().to_ascii_lowercase().as_str() {
                "max-age" | "s-maxage" | "stale-while-revalidate" => seconds(value),
                "no-store" | "no-cache" => Some(Duration::ZERO),
                _ => None,
            };
            lifetime = lifetime.max(seconds);
        }
        let date = |name: &HeaderName| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
        let expires = || date(&EXPIRES)?.duration_since(date(&DATE)?).ok();
        Self {
            lifetime: lifetime.or_else(expires),
            age: headers
                .get(AGE)
                .and_then(|value| value.to_str().ok())
                .and_then(seconds)
                .map(|age| age.min(LARGEST_AGE)),
        }
    }

    /// How long ago the issuer may have sent this response.
    #[must_use]
    pub fn possible_age(&self) -> Duration {
        match (self.age, self.lifetime) {
            (Some(age), _) => age,
            (None, Some(lifetime)) => lifetime.min(LONGEST_ASSUMED_AGE),
            (None, None) => DEFAULT_LIFETIME,
        }
    }

    /// How much longer a cache stores this response; `None` if none has it.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let (age, lifetime) = (self.age?, self.lifetime?);
        (!age.is_zero()).then(|| lifetime.saturating_sub(age))
    }

    /// How long after the fetch of a set without a key tokens may still be signed with it: other replicas of the issuer may
    /// read their keys that late.
    #[must_use]
    pub fn overlap(&self) -> Duration {
        self.lifetime.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_ASSUMED_AGE)
    }
}
