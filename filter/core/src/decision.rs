//! The decision of the data path, as pure functions of the clock and plain data.
//!
//! It has two steps, because each needs more than the one before: [`judge_presented`] reads the presented token alone,
//! which is all that a fresh token needs; [`decide`] adds the cached replacement. Only [`Decision::Call`] needs the gate,
//! and reading it costs a host call, so the worker reads it after these two.

use tokenward_protocol::bytes::same_bytes;
use tokenward_protocol::freshness::{Freshness, FreshnessPolicy, in_ms};
use tokenward_protocol::jwt::Claims;
use tokenward_protocol::refusal::Refusal;

use crate::config::{AuthKind, Server, TokenShape};
use crate::replacement::Replacement;

/// How far the presented token can be used at its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The server gets it as it is.
    Fresh,
    /// The same, but it expires soon.
    NearExpiry,
    /// The server must get another one: this one is stale, distrusted, or not of the issuer whose tokens the server takes.
    NeedsReplacement,
}

/// What to do with a request, once its token fits the server.
#[derive(Debug)]
pub enum Decision {
    /// Forward it untouched.
    Forward {
        /// Whether to fetch the next token in the background.
        prefetch: bool,
    },
    /// Put this token in place of the presented one and forward it.
    Replace {
        /// The cached token.
        replacement: Replacement,
        /// Whether to fetch the next one in the background.
        prefetch: bool,
    },
    /// Call control for a token, as far as the gate admits the call.
    Call,
}

/// Judges the presented token by its `claims`: whether it fits the server, and how far it can be used there. `distrusted`: the
/// server has rejected it although it looked fresh, or it was stale before by a clock that has stepped back since.
///
/// A token that is stale by `policy` at `now_ms` (Unix ms) is never [`Standing::Fresh`] or [`Standing::NearExpiry`].
///
/// # Errors
/// [`Refusal::WrongIssuer`] or [`Refusal::WrongAudience`]: the token does not fit the server.
pub fn judge_presented(
    claims: &Claims,
    server: &Server,
    policy: &FreshnessPolicy,
    distrusted: bool,
    now_ms: u64,
) -> Result<Standing, Refusal> {
    fits_server(claims, server)?;
    Ok(standing(claims, server, policy, distrusted, now_ms))
}

/// Whether the presented token is used as it is while it is fresh: one of the issuer whose tokens the server takes, also where
/// the server's tokens are made by an exchange (never where they are opaque), because some aggregators exchange by themselves
/// (ADR 25).
fn is_taken_as_it_is(claims: &Claims, server: &Server) -> bool {
    !server.is_opaque && (server.kind == AuthKind::Forward || server.takes(&claims.issuer))
}

/// Whether the presented token has the issuer and the audiences that its server wants of it: what does not depend on the clock.
///
/// # Errors
/// [`Refusal::WrongIssuer`] or [`Refusal::WrongAudience`].
pub(crate) fn fits_server(claims: &Claims, server: &Server) -> Result<(), Refusal> {
    let shape = if is_taken_as_it_is(claims, server) {
        &server.delivered
    } else {
        &server.presented
    };
    fits(claims, shape)
}

/// How far a presented token that fits its server can be used there; see [`judge_presented`].
pub(crate) fn standing(
    claims: &Claims,
    server: &Server,
    policy: &FreshnessPolicy,
    distrusted: bool,
    now_ms: u64,
) -> Standing {
    if distrusted || !is_taken_as_it_is(claims, server) {
        return Standing::NeedsReplacement;
    }
    match policy.judge(claims.exp_seconds, now_ms) {
        Freshness::Fresh => Standing::Fresh,
        Freshness::NearExpiry => Standing::NearExpiry,
        Freshness::Stale => Standing::NeedsReplacement,
    }
}

/// Whether an access token of our own authorization server is one that the server takes.
///
/// # Errors
/// [`Refusal::WrongIssuer`]: the server takes no such token. [`Refusal::WrongAudience`]: it is for another resource.
pub(crate) fn own_fits_server(claims: &Claims, server: &Server) -> Result<(), Refusal> {
    let own = server.access_tokens.as_ref().ok_or(Refusal::WrongIssuer)?;
    let resource = own.resource.as_bytes();
    let mut audiences = claims.audiences.iter();
    match audiences.any(|audience| same_bytes(audience.as_bytes(), resource)) {
        true => Ok(()),
        false => Err(Refusal::WrongAudience),
    }
}

/// How far an access token of our own that fits its server can be used: it never reaches the server, so it needs a
/// replacement whatever life it has left. No margin is taken off that: a client that gets 401 for a token which it takes
/// for a good one sends its user to log in.
///
/// # Errors
/// [`Refusal::TokenExpired`]: its `exp` has come at `now_ms` (Unix ms).
pub(crate) fn own_standing(claims: &Claims, now_ms: u64) -> Result<Standing, Refusal> {
    if in_ms(claims.exp_seconds) <= now_ms {
        return Err(Refusal::TokenExpired);
    }
    Ok(Standing::NeedsReplacement)
}

/// Decides by the presented token's `standing` and the `replacement` that is cached for exactly this (session, server,
/// presented token). A replacement that is stale by `policy` at `now_ms` (Unix ms) is never used.
pub fn decide(
    standing: Standing,
    replacement: Option<Replacement>,
    policy: &FreshnessPolicy,
    now_ms: u64,
) -> Decision {
    let replacement =
        replacement.map(|replacement| (policy.judge(replacement.exp_seconds, now_ms), replacement));
    match (standing, replacement) {
        (Standing::Fresh, _) => Decision::Forward { prefetch: false },
        // A fresh replacement means that the prefetch is done.
        (Standing::NearExpiry, replacement) => Decision::Forward {
            prefetch: !matches!(replacement, Some((Freshness::Fresh, _))),
        },
        (Standing::NeedsReplacement, Some((freshness, replacement))) if freshness != Freshness::Stale => {
            Decision::Replace {
                replacement,
                prefetch: freshness == Freshness::NearExpiry,
            }
        }
        (Standing::NeedsReplacement, _) => Decision::Call,
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
