//! The record of one exchanged token, and the decision about it at a given time. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::freshness::is_fresh;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use crate::config::ExchangeConfig;
use crate::digest;
use crate::record::codec;
use crate::record::sealed::Sealed;
use crate::refused::Refused;
use crate::store::{Key, StoreError};
use crate::upstream::grant::record::GrantKey;
use crate::upstream::policy::Policy;
use crate::upstream::renewal::is_near_expiry;
use crate::upstream::streak::{Streak, StreakKind, remaining};
use crate::upstream::token_kind::TokenKind;

/// Version of the record's format. Records of the version before are read, and each record is written in the earliest version
/// that holds it, so that the replicas of a rolling update read each other's.
pub const FORMAT: u8 = 3;
/// The version before: all tokens are ID tokens, and no failure is a [`StreakKind::Interaction`].
const FORMAT_OF_ID_TOKENS: u8 = 2;
/// What a record of that version lacks at its end: [`ExchangeRecord::is_access_token`], false.
const NO_ACCESS_TOKEN: [u8; 1] = [0];

/// Identifies an exchanged token by everything that determines it: another endpoint, connector, client, scope or
/// audience in the configuration is another token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeKey {
    digest: String,
}

impl ExchangeKey {
    /// The token for `grant` by `config`.
    #[must_use]
    pub fn new(grant: &GrantKey, config: &ExchangeConfig, required_audiences: &[String]) -> Self {
        let audiences = required_audiences.join(" ");
        let mut parts = vec![
            "exchange",
            grant.digest(),
            config.token_endpoint.as_str(),
            &config.expected_issuer,
            config.connector_id.as_deref().unwrap_or_default(),
            &config.client_id,
            &config.scopes,
            &audiences,
        ];
        parts.extend(config.particulars());
        Self {
            digest: digest::hex_of_parts(&parts),
        }
    }

    /// The token whose digest a grant's set contains.
    #[must_use]
    pub fn from_digest(digest: String) -> Self {
        Self { digest }
    }

    /// 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key of its record.
    #[must_use]
    pub fn record(&self) -> Key {
        Key::new("exchange", &self.digest)
    }

    /// The lease under which it is exchanged.
    #[must_use]
    pub fn lease(&self) -> Key {
        Key::new("lease", &format!("exchange:{}", self.digest))
    }
}

/// An exchanged token, the failures to obtain one, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRecord {
    /// [`FORMAT`].
    pub format: u8,
    /// The token.
    pub token: Option<ExchangedToken>,
    /// Failures since the last success.
    pub failures: Option<Streak>,
    /// Whether the token is an access token, and not an ID token. The last field: records of version 2 end before it.
    pub is_access_token: bool,
}

impl ExchangeRecord {
    /// A record with an ID token, failures, or both.
    #[must_use]
    pub const fn of(token: Option<ExchangedToken>, failures: Option<Streak>) -> Self {
        Self {
            format: FORMAT,
            token,
            failures,
            is_access_token: false,
        }
    }

    /// What the token is.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        if self.is_access_token {
            TokenKind::AccessToken
        } else {
            TokenKind::IdToken
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`] for another format.
    pub fn read(key: &Key, bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&FORMAT_OF_ID_TOKENS, rest)) => {
                let whole = [&[FORMAT], rest, &NO_ACCESS_TOKEN].concat();
                codec::decode(FORMAT, key, &whole)
            }
            _ => codec::decode(FORMAT, key, bytes),
        }
    }

    /// The record as bytes.
    ///
    /// # Errors
    /// [`StoreError::Failed`]; a record of plain data always serializes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let mut bytes = codec::encode("serialize exchange", self)?;
        let is_new_failure = (self.failures).is_some_and(|streak| streak.kind == StreakKind::Interaction);
        if !self.is_access_token && !is_new_failure {
            bytes.truncate(bytes.len().saturating_sub(NO_ACCESS_TOKEN.len()));
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT_OF_ID_TOKENS;
            }
        }
        Ok(bytes)
    }
}

/// An exchanged token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangedToken {
    /// The token.
    pub sealed: Sealed,
    /// `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: Option<u64>,
    /// When it was stored, Unix ms.
    pub made_at_ms: u64,
}

impl ExchangedToken {
    /// The token's share of the span over which renewals are spread.
    #[must_use]
    pub fn spread(&self) -> u32 {
        digest::spread(&digest::hex_of_parts(&[&self.made_at_ms.to_string()]))
    }
}

/// What to do with an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeDecision {
    /// Serve the stored token.
    Serve,
    /// Exchange again.
    Exchange,
    /// Refuse.
    Refuse(Refused),
}

/// The stored token, if it is fresh.
#[must_use]
pub fn fresh<'a>(
    record: Option<&'a ExchangeRecord>,
    policy: &Policy,
    now_ms: u64,
) -> Option<&'a ExchangedToken> {
    record?
        .token
        .as_ref()
        .filter(|token| is_fresh(token.exp_seconds, policy.margin, now_ms))
}

/// The decision about `record` for a caller with `reason` at `now_ms`.
#[must_use]
pub fn decide(
    record: Option<&ExchangeRecord>,
    reason: Reason,
    policy: &Policy,
    now_ms: u64,
) -> ExchangeDecision {
    let fresh = fresh(record, policy, now_ms);
    if let Some(token) = fresh {
        let serves = match reason {
            Reason::Stale => true,
            Reason::NearExpiry => !is_near_expiry(
                token.exp_seconds,
                token.issued_at_seconds,
                policy.margin,
                now_ms,
                token.spread(),
            ),
            // The request does not name the rejected token; a token this new answers an earlier request with the same
            // reason.
            Reason::Rejected => {
                let interval_ms = whole_ms(policy.rejected_interval);
                let until_ms = token.made_at_ms.saturating_add(interval_ms);
                remaining(until_ms, interval_ms, now_ms).is_some()
            }
        };
        if serves {
            return ExchangeDecision::Serve;
        }
    }
    match record.and_then(|record| record.failures) {
        Some(streak) => match streak.wait(now_ms) {
            Some(_) if fresh.is_some() && reason == Reason::NearExpiry => ExchangeDecision::Serve,
            Some(wait) => ExchangeDecision::Refuse(of_streak(&streak).retry_after(wait)),
            None => ExchangeDecision::Exchange,
        },
        None => ExchangeDecision::Exchange,
    }
}

/// The refusal while a streak lasts.
#[must_use]
pub fn of_streak(streak: &Streak) -> Refused {
    /// Dex answers 500 for a scope that it never grants; a temporary 500 does not occur this often in a row.
    const FAILING_IS_MISCONFIGURED: u32 = 3;
    match streak.kind {
        StreakKind::Misconfigured | StreakKind::Unusable | StreakKind::NoIdToken => Refused::new(Refusal::ExchangeMisconfigured),
        StreakKind::Substituted => Refused::new(Refusal::Substitution),
        StreakKind::NotOauth if streak.is_lasting() => Refused::new(Refusal::ExchangeMisconfigured).because(
            "something other than a token endpoint answers in the remote issuer's place: check tokenEndpoint, and what \
             stands in between",
        ),
        StreakKind::Failing if streak.same_kind >= FAILING_IS_MISCONFIGURED => {
            Refused::new(Refusal::ExchangeMisconfigured).because(
                "the remote issuer fails every time; Dex does so for an audience that does not trust the client: \
                 check requiredAudiences and the trustedPeers there",
            )
        }
        StreakKind::Denied => Refused::new(Refusal::ExchangeUnavailable).because(
            "the remote issuer denied a fresh token; it may not reach the home issuer, its connector or identity \
             provider may name another issuer, or it has ended the user's session",
        ),
        StreakKind::Interaction => Refused::new(Refusal::ExchangeUnavailable).because(
            "the remote issuer requires the user to act there first (to log in, to consent, or by another factor), which \
             an exchange cannot lead to; another login here does not help",
        ),
        StreakKind::Failing | StreakKind::Unreachable | StreakKind::RetryAfter | StreakKind::NotOauth => {
            Refused::new(Refusal::ExchangeUnavailable)
        }
    }
}

/// Lifetime of a record: until the token expires, or until failures are dropped.
#[must_use]
pub fn lifetime(record: &ExchangeRecord, now_ms: u64) -> Duration {
    const FAILURE_LIFETIME: Duration = Duration::from_secs(600);
    let token = record.token.as_ref().map_or(0, |token| {
        token.exp_seconds.saturating_mul(1000).saturating_sub(now_ms)
    });
    let failures = record.failures.map_or(0, |_| whole_ms(FAILURE_LIFETIME));
    Duration::from_millis(token.max(failures).max(1_000))
}
