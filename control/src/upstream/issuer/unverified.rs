//! Why a signature is not accepted, and what follows: for a token that a caller presents, and for one that an issuer
//! answered with.

use std::time::Duration;

use tokenward_protocol::jwt::Malformed;
use tokenward_protocol::refusal::Refusal;

use crate::refused::Refused;
use crate::upstream::streak::StreakKind;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// Not a JWT with the claims that every ID token has.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The JOSE header, or something in it that must be understood (`crit`), is not.
    #[error("its JOSE header is not understood")]
    Header,
    /// A signature that the key of its `kid` did not make.
    #[error("it is not signed by a key of its issuer")]
    Forged,
    /// The algorithm is not supported. Nothing is known of the signature.
    #[error("algorithm {0} is not supported")]
    Algorithm(String),
    /// The issuer publishes the key, and it cannot be used.
    #[error("key {id} of the issuer's key set is not used: {why}")]
    KeyNotUsed {
        /// `kid`, as it may be shown.
        id: String,
        /// Why.
        why: String,
    },
    /// The issuer's key of that `kid` is for another algorithm than the token names.
    #[error("its key is for another algorithm")]
    OtherAlgorithm,
    /// The configuration's `rejected_keys` names the key.
    #[error("it is signed by a key that rejected_keys names")]
    KeyRejected,
    /// The issuer has withdrawn the key, and the token was issued later or lives too long beyond that.
    #[error("its key was withdrawn by the issuer before the token was issued, or long before it expires")]
    KeyWithdrawn,
    /// The issuer's keys, as of a time well after the token was issued, do not hold its key: `kid`, as it may be shown.
    #[error("{}", unknown(.0.as_deref()))]
    KeyUnknown(Option<String>),
    /// The key may be one that the issuer, or a cache in between, does not publish yet.
    #[error("{cause}")]
    KeyNotYetKnown {
        /// When the next look can help.
        retry_after: Duration,
        /// For how long a cache in between serves the same set, where one does.
        cached_for: Option<Duration>,
        /// For people.
        cause: String,
    },
    /// The issuer's keys cannot be had right now.
    #[error("the issuer's keys cannot be had: {cause}")]
    KeysUnavailable {
        /// When asking again can help.
        retry_after: Duration,
        /// For people.
        cause: String,
    },
    /// The store with the past keys does not answer.
    #[error("the store does not answer")]
    StoreUnavailable,
}

fn unknown(id: Option<&str>) -> String {
    match id {
        Some(id) => format!("its key {id} is not in its issuer's key set"),
        None => "it names no key, and none of its issuer's verifies it".to_owned(),
    }
}

/// What a failed verification of an issuer's own answer says about the future.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerUnverified {
    /// [`StreakKind::Substituted`] only where a signature is wrong.
    pub kind: StreakKind,
    /// When the next try can help, where that is known.
    pub retry_after: Option<Duration>,
    /// For people.
    pub cause: String,
}

impl Unverified {
    /// The same of `token_name`, a token that the issuer has just answered with.
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
            // Without a cache the streak's own growing waits are the better guess.
            Self::KeyNotYetKnown { cached_for, .. } => (StreakKind::Unreachable, *cached_for),
            Self::KeysUnavailable { retry_after, .. } => (StreakKind::Unreachable, Some(*retry_after)),
            Self::StoreUnavailable => (StreakKind::Unreachable, None),
        };
        let hint = match self {
            Self::Malformed(Malformed::TooLong) => ": let the issuer put less into it (groups, for example)",
            Self::Algorithm(_) | Self::KeyNotUsed { .. } => ": let the issuer sign with RS256, for example",
            Self::KeyUnknown(_) => ": check whether its keys are looked for at the right place (jwks_uri)",
            Self::KeyRejected => ": the issuer still signs with it",
            _ => "",
        };
        AnswerUnverified {
            kind,
            retry_after,
            cause: format!("{token_name} cannot be used: {self}{hint}"),
        }
    }

    /// Whether waiting may help.
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
