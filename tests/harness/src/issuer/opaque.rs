//! Opaque access tokens: a JWT of the issuer in a form that is no JWT. A server of the tests unwraps and verifies it, as a real one
//! would ask the issuer; nothing between them can read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secrets;

/// No JWT has this character.
const PREFIX: &str = "opaque~";

/// `jwt` as an opaque token.
pub(crate) fn wrapped(jwt: &str) -> String {
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(jwt));
    secrets::note(&token);
    token
}

/// The JWT in an opaque token; `None` for any other token.
pub fn unwrapped(token: &str) -> Option<String> {
    let jwt = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    String::from_utf8(jwt).ok()
}
