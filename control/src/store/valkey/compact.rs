//! The compact encoding of names and kinds in Valkey's keys and set members. Nearly every name and member is a digest, and
//! in hex the digests took a large part of a session's memory. 64 hex digits become `~` and base64url; a text that begins
//! with `~` gets one more `~` in front; any other text stays as it is. Kinds are shortened too: with short kinds, and one
//! separator in place of `:set`, each key of a session needs an allocation that is 16 bytes smaller.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest;

const MARK: char = '~';

/// The stored form of a key's kind (docs/upgrade.md, What the store holds).
pub(super) fn encode_kind(kind: &str) -> &str {
    match kind {
        "grant" => "g",
        "session" => "s",
        "exchange" => "x",
        "grant_sessions" => "gs",
        "grant_exchanges" => "gx",
        "user_sessions" => "us",
        "user_logins" => "ul",
        kind => kind,
    }
}

/// The stored form of a name or a member.
pub(super) fn encode(text: &str) -> Cow<'_, str> {
    match digest::bytes(text) {
        Some(bytes) => {
            let mut encoded = String::from(MARK);
            URL_SAFE_NO_PAD.encode_string(bytes, &mut encoded);
            encoded.into()
        }
        None if text.starts_with(MARK) => format!("{MARK}{text}").into(),
        None => text.into(),
    }
}

/// The inverse of [`encode`].
pub(super) fn decode(encoded: String) -> String {
    let Some(rest) = encoded.strip_prefix(MARK) else {
        return encoded;
    };
    match URL_SAFE_NO_PAD.decode(rest) {
        Ok(bytes) if bytes.len() == digest::BYTES => digest::hex(&bytes),
        _ => rest.to_owned(),
    }
}
