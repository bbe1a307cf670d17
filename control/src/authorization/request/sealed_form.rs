//! A checked request on its way through the consent page. Nothing is stored before the user has agreed: any link can open
//! the page. The request travels in the page's form, sealed for this purpose and for this browser.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use tokenward_protocol::duration::whole_ms;

use super::CheckedRequest;
use crate::authorization::browser::BrowserDigest;
use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::store::StoreError;

/// How long a user may look at the consent page, and how long at the upstream login.
pub const LOGIN_LIFETIME: Duration = Duration::from_secs(600);
/// How far the clock of the replica that made the page may be ahead.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(120);
/// The longest sealed request that is read, in bytes: twice that of the longest request.
const MAX_BYTES: usize = 32 * 1024;

/// Why a form's request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// It was sealed for another browser, or not sealed.
    #[error("the form was made for another browser")]
    Foreign,
    /// The user took longer than [`LOGIN_LIFETIME`].
    #[error("the page is older than ten minutes")]
    Old,
}

/// The purpose of the sealing: a value that was sealed for anything else does not open.
fn purpose(browser: &BrowserDigest) -> String {
    format!("login_consent_form:{}", browser.as_str())
}

/// Seals `request` for the form of `browser`.
///
/// # Errors
/// [`StoreError::Failed`] without random bytes.
pub fn seal(ring: &KeyRing, browser: &BrowserDigest, request: &CheckedRequest) -> Result<String, StoreError> {
    let plain = codec::encode("serialize request", request)?;
    let sealed = ring.seal(&purpose(browser), &plain);
    let sealed = sealed.map_err(|error| StoreError::Failed {
        operation: "seal",
        source: Box::new(error),
    })?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// Opens what [`seal`] made for `browser` at most [`LOGIN_LIFETIME`] ago.
///
/// # Errors
/// [`BadForm`].
pub fn open(
    ring: &KeyRing,
    browser: &BrowserDigest,
    sealed: &str,
    now_ms: u64,
) -> Result<CheckedRequest, BadForm> {
    if sealed.len() > MAX_BYTES {
        return Err(BadForm::Foreign);
    }
    let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| BadForm::Foreign)?;
    let plain = ring
        .open(&purpose(browser), &sealed)
        .map_err(|_| BadForm::Foreign)?;
    let request: CheckedRequest =
        postcard::from_bytes(plain.expose_secret()).map_err(|_| BadForm::Foreign)?;
    let earliest = now_ms.saturating_sub(whole_ms(LOGIN_LIFETIME));
    let latest = now_ms.saturating_add(whole_ms(CLOCK_DIFFERENCE));
    if request.format != super::FORMAT || !(earliest..=latest).contains(&request.checked_at_ms) {
        return Err(BadForm::Old);
    }
    Ok(request)
}
