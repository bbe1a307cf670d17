//! The upstream side: OpenID Connect issuers, the grants that they issued, and exchanges at remote issuers.
//!
//! - [`issuer`]: the client for an issuer's endpoints, its keys, and the checks of its tokens;
//! - [`dialect`]: where issuers differ from the specifications and from each other;
//! - [`grant`]: what an issuer issued for (issuer, client, user), and the single refresh at a time;
//! - [`exchange`]: exchanges at remote issuers;
//! - [`relay`]: answers an issuer's clients at the issuer's own token endpoint;
//! - [`entitlement`], [`policy`], [`renewal`]: rules that grants and exchanges share;
//! - [`failure`], [`streak`]: one failure, and consecutive failures of one grant or exchange;
//! - [`token_kind`]: the kinds of tokens that servers receive.

pub mod dialect;
pub mod entitlement;
pub mod exchange;
pub mod failure;
pub mod grant;
pub mod issuer;
pub(crate) mod local_pauses;
pub mod policy;
pub mod relay;
pub mod renewal;
pub mod streak;
pub mod token_kind;
