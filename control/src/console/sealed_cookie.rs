//! Values that travel in a cookie of the console, sealed with the key ring: every replica opens them, and no store is needed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::codec;
use crate::record::keyring::KeyRing;
use crate::store::StoreError;

/// The longest value that browsers keep with its name and attributes, in bytes (RFC 6265bis §5.6: 4096 in all).
const LONGEST: usize = 3800;

/// Why a value has no cookie.
#[derive(Debug, thiserror::Error)]
pub enum NotSealed {
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] StoreError),
    /// The browser would drop it.
    #[error("the names in the ID token are longer than a cookie holds")]
    TooLong,
}

/// Seals `value` for `purpose`.
pub(super) fn seal<T: Serialize>(
    ring: &KeyRing,
    purpose: &str,
    value: &T,
) -> Result<SecretString, NotSealed> {
    let plain = codec::encode("serialize cookie", value)?;
    let sealed = ring.seal(purpose, &plain).map_err(|error| StoreError::Failed {
        operation: "seal",
        source: Box::new(error),
    })?;
    let text = URL_SAFE_NO_PAD.encode(sealed);
    if text.len() > LONGEST {
        return Err(NotSealed::TooLong);
    }
    Ok(text.into())
}

/// Opens what [`seal`] made for `purpose`; `None` for anything else.
pub(super) fn open<T: DeserializeOwned>(ring: &KeyRing, purpose: &str, sealed: &str) -> Option<T> {
    if sealed.len() > LONGEST {
        return None;
    }
    let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let plain = ring.open(purpose, &sealed).ok()?;
    postcard::from_bytes(plain.expose_secret()).ok()
}
