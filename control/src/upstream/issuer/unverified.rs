//! Why a signature is not accepted, and the consequence for a token that a caller presents and for one that an issuer sent.

use std::time::Duration;

use tokenward_protocol::jwt::Malformed;
use tokenward_protocol::refusal::Refusal;

use crate::refused::Refused;
use crate::upstream::streak::StreakKind;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Not a JWT with the claims of every ID token.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The JOSE header cannot be read, or has a `crit` extension that is not supported.
    #[error("its JOSE header is not understood")]
    Header,
    /// A signature that the key of its `kid` did not make.
    #[error("it is not signed by a key of its issuer")]
    Forged,
    /// The algorithm is not supported; the signature was not checked.
    #[error("algorithm {0} is not supported")]
    Algorithm(String),
    /// The issuer publishes the key, but it cannot be used.
    #[error("key {id} of the issuer's key set is not used: {why}")]
    KeyNotUsed {
        /// `kid`, safe to log.
        id: String,
        /// Why.
        why: String,
    },
    /// The issuer's key with this `kid` is for another algorithm than the token's.
    #[error("its key is for another algorithm")]
    OtherAlgorithm,
    /// The configuration rejects the key (`rejected_keys`).
    #[error("it is signed by a key that rejected_keys names")]
    KeyRejected,
    /// The issuer has withdrawn the key, and the token was issued later or lives too long after that.
    #[error("its key was withdrawn by the issuer before the token was issued, or long before it expires")]
    KeyWithdrawn,
    /// The issuer's key set, of a time well after the token was issued, does not hold its key: `kid`, safe to log.
    #[error("{}", unknown(.0.as_deref()))]
    KeyUnknown(Option<String>),
    /// The issuer, or a cache in front of it, may not publish the key yet.
    #[error("{cause}")]
    KeyNotYetKnown {
        /// When another attempt can succeed.
        retry_after: Duration,
        /// How long a cache serves the same set, if one does.
        cached_for: Option<Duration>,
        /// The cause, for logs and messages.
        cause: String,
    },
    /// The issuer's keys are not available now.
    #[error("the issuer's keys are not available: {cause}")]
    KeysUnavailable {
        /// When another attempt can succeed.
        retry_after: Duration,
        /// The cause, for logs and messages.
        cause: String,
    },
    /// The store with the past keys does not answer.
    #[error("the store does not answer")]
    StoreUnavailable,
}

fn unknown(id: Option<&str>) -> String {
    match id {
        Some(id) => format!("its key {id} is not in its issuer's key set"),
        None => "it names no key, and no key of its issuer verifies it".to_owned(),
    }
}

/// The failure of a token that the issuer itself sent, for the streak of its grant or exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerUnverified {
    /// [`StreakKind::Substituted`] only for a wrong signature.
    pub kind: StreakKind,
    /// When another attempt can succeed, if known.
    pub retry_after: Option<Duration>,
    /// The cause, for logs and messages.
    pub cause: String,
}

impl Unverified {
    /// The failure of `token_name`, a token that the issuer has just sent.
    #[must_use]
    pub fn of_answer(&self, token_name: &str) -> AnswerUnverified {
        let (kind, retry_after) = match self {
            Self::Forged => (StreakKind::Substituted, None),
            Self::Malformed(_)
            | Self::Header
            | Self::Algorithm(_)
            | Self::KeyNotUsed { .. }
            | Self::OtherAlgorithm
            | Self::KeyRejected
            | Self::KeyWithdrawn
            | Self::KeyUnknown(_) => (StreakKind::Unusable, None),
            // Without a cache the streak's own backoff is the better estimate.
            Self::KeyNotYetKnown { cached_for, .. } => (StreakKind::Unreachable, *cached_for),
            Self::KeysUnavailable { retry_after, .. } => (StreakKind::Unreachable, Some(*retry_after)),
            Self::StoreUnavailable => (StreakKind::Unreachable, None),
        };
        let hint = match self {
            Self::Malformed(Malformed::TooLong) => ": let the issuer put less into it (groups, for example)",
            Self::Algorithm(_) | Self::KeyNotUsed { .. } => ": let the issuer sign with RS256, for example",
            Self::KeyUnknown(_) => ": check that jwks_uri is the issuer's own key set",
            Self::KeyRejected => ": the issuer still signs with it",
            _ => "",
        };
        AnswerUnverified {
            kind,
            retry_after,
            cause: format!("{token_name} cannot be used: {self}{hint}"),
        }
    }

    /// Whether another attempt may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::KeyNotYetKnown { .. } | Self::KeysUnavailable { .. } | Self::StoreUnavailable
        )
    }
}

impl From<Unverified> for Refused {
    fn from(unverified: Unverified) -> Self {
        let cause = unverified.to_string();
        match unverified {
            Unverified::Malformed(Malformed::TooLong) => Self::new(Refusal::TokenTooLarge),
            Unverified::Malformed(_) => Self::new(Refusal::MalformedBearer).because(cause),
            Unverified::Algorithm(_) | Unverified::KeyNotUsed { .. } => {
                Self::new(Refusal::AlgorithmUnsupported).because(cause)
            }
            Unverified::Header
            | Unverified::Forged
            | Unverified::OtherAlgorithm
            | Unverified::KeyRejected
            | Unverified::KeyWithdrawn
            | Unverified::KeyUnknown(_) => Self::new(Refusal::SubjectRejected).because(cause),
            Unverified::KeyNotYetKnown { retry_after, .. }
            | Unverified::KeysUnavailable { retry_after, .. } => Self::new(Refusal::IssuerUnavailable)
                .because(cause)
                .retry_after(retry_after),
            Unverified::StoreUnavailable => Self::new(Refusal::StoreUnavailable),
        }
    }
}
