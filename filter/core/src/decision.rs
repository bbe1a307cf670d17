//! The one decision of the data path, as a pure function of the clock and plain data.

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::freshness::{Freshness, FreshnessPolicy};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use crate::config::{AuthKind, Server, TokenShape};
use crate::pair::gate::Admission;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Forward untouched.
    Forward,
    /// Forward untouched, and fetch the next token in the background.
    ForwardAndPrefetch,
    /// Put the cached replacement in place of the presented token and forward.
    Replace,
    /// The same, and fetch the next replacement in the background.
    ReplaceAndPrefetch,
    /// Pause and ask control. `probe`: the gate was closed and this is the one request that tries it.
    Ask {
        /// Whether the gate must be claimed first.
        probe: bool,
    },
    /// Refuse without asking anybody: the presented token itself is at fault.
    Refuse(Refusal),
    /// Refuse from memory: the gate is closed.
    RefuseFromGate {
        /// The reason that closed the gate.
        refusal: Refusal,
        /// Time until it opens.
        retry_after_ms: u64,
    },
}

impl Decision {
    /// What becomes of it where only a session handle opens anything but the presented token itself.
    #[must_use]
    pub fn without_session(self) -> Self {
        match self {
            Self::Forward | Self::ForwardAndPrefetch => Self::Forward,
            Self::Refuse(refusal) => Self::Refuse(refusal),
            _ => Self::Refuse(Refusal::UnknownSession),
        }
    }
}

/// Decides.
///
/// `presented` are the claims of the presented token, or why there are none; `distrusted` says that the server
/// has rejected it although it looked fresh, or that it was stale before by a clock that has stepped back since. `cached_exp_seconds` is the `exp` of the
/// replacement kept for exactly this (session, server, presented token); it is asked for only when it matters. `gate` is
/// asked last and only if a call to control would follow, because reading it costs a host call.
///
/// No branch forwards or replaces with a token that is stale by `policy` at `now_ms`.
pub fn decide(
    now_ms: u64,
    policy: &FreshnessPolicy,
    server: &Server,
    presented: Result<&Claims, Refusal>,
    distrusted: bool,
    mut cached_exp_seconds: impl FnMut() -> Option<u64>,
    gate: impl FnOnce() -> Admission,
) -> Decision {
    let claims = match presented {
        Ok(claims) => claims,
        Err(refusal) => return Decision::Refuse(refusal),
    };
    if let Err(refusal) = fits(claims, &server.presented) {
        return Decision::Refuse(refusal);
    }
    let mut cached = || cached_exp_seconds().map(|exp_seconds| policy.judge(exp_seconds, now_ms));
    if server.kind == AuthKind::Forward && !distrusted {
        match policy.judge(claims.exp_seconds, now_ms) {
            Freshness::Fresh => return Decision::Forward,
            // A replacement that is fresher than the presented token: the prefetch is done.
            Freshness::NearExpiry if cached() == Some(Freshness::Fresh) => return Decision::Forward,
            Freshness::NearExpiry => return Decision::ForwardAndPrefetch,
            Freshness::Stale => {}
        }
    }
    match cached() {
        Some(Freshness::Fresh) => return Decision::Replace,
        Some(Freshness::NearExpiry) => return Decision::ReplaceAndPrefetch,
        Some(Freshness::Stale) | None => {}
    }
    match gate() {
        Admission::Open => Decision::Ask { probe: false },
        Admission::Probe => Decision::Ask { probe: true },
        Admission::Closed {
            refusal,
            retry_after_ms,
        } => Decision::RefuseFromGate {
            refusal,
            retry_after_ms,
        },
    }
}

/// Whether a token has the issuer and the audiences of `shape`.
///
/// # Errors
/// [`Refusal::WrongIssuer`] or [`Refusal::WrongAudience`].
pub fn fits(claims: &Claims, shape: &TokenShape) -> Result<(), Refusal> {
    if !same_bytes(claims.issuer.as_bytes(), shape.issuer.as_bytes()) {
        Err(Refusal::WrongIssuer)
    } else if !claims.covers_audiences(&shape.audiences) {
        Err(Refusal::WrongAudience)
    } else {
        Ok(())
    }
}
