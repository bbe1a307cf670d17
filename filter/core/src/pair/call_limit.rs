//! Limits the whole Envoy's calls to control for tokens that control has never accepted.
//!
//! Any client can make up tokens, and pairs with them. A call that is under way holds a part of the allowance; one that
//! brought a token or proved the presented one gives it back, and one that did neither costs its full price. So a thousand
//! users that return at once are not delayed, and a thousand forged tokens are.

use super::allowance::{Allowance, AllowanceLimit};
use super::memory::{NotStored, update_value};
use crate::host::Host;

/// The key of the allowance in shared data.
const KEY: &str = "tokenward/calls";
const VERSION: u8 = 1;

/// 256 calls that brought nothing, of which 64 are for tokens that come back, and 5,000 more a minute.
pub(crate) const ENVOY_CALLS: AllowanceLimit = AllowanceLimit {
    most_ms: 3_072,
    reserve_ms: 768,
};
/// What a call that brought nothing costs.
pub(crate) const FUTILE_CALL_MS: u64 = 12;
/// What a call holds while it is under way. So 1,536 may be, half as many again as Envoy's circuit breaker lets through
/// by default.
pub(crate) const CALL_UNDER_WAY_MS: u64 = 2;

/// Takes permission for a call.
///
/// # Errors
/// The time in milliseconds until a call is permitted again. A host that fails permits the call.
pub(crate) fn take(host: &impl Host, returning: bool, now_ms: u64) -> Result<(), u64> {
    let mut charge = Ok(());
    let _ = change(host, &mut |allowance| {
        let after = allowance.take(CALL_UNDER_WAY_MS, ENVOY_CALLS, returning, now_ms);
        charge = after.map(|_| ());
        after.ok()
    });
    charge
}

/// Settles a call that is over. `futile`: it brought nothing, and did not prove the presented token.
pub(crate) fn settle(host: &impl Host, futile: bool, now_ms: u64) {
    // An allowance that cannot be written is whole again by itself.
    let _ = change(host, &mut |allowance| {
        Some(if futile {
            let rest_ms = FUTILE_CALL_MS.saturating_sub(CALL_UNDER_WAY_MS);
            allowance.charge(rest_ms, ENVOY_CALLS, now_ms)
        } else {
            allowance.give_back(CALL_UNDER_WAY_MS, ENVOY_CALLS, now_ms)
        })
    });
}

fn change(host: &impl Host, change: &mut dyn FnMut(Allowance) -> Option<Allowance>) -> Result<(), NotStored> {
    update_value(host, KEY, &mut |bytes| {
        let whole_at_ms = bytes
            .and_then(|bytes| bytes.strip_prefix(&[VERSION])?.try_into().ok())
            .map_or(0, u64::from_le_bytes);
        let after = change(Allowance { whole_at_ms })?;
        Some([&[VERSION], &after.whole_at_ms.to_le_bytes()[..]].concat())
    })
}
