//! Digests in fewer letters: nearly every name and member is one, and in hex they took a good part of a session's room.
//! `~` and base64url for 64 hex digits, and one `~` more in front of what begins with it anyway; all else as it is.
//! Kinds too: with them and one mark in place of `:set`, the keys of a session are in allocations of 16 bytes less each.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::digest;

const MARK: char = '~';

/// A key's kind as it is kept (docs/upgrade.md, What the store holds).
pub(super) fn kind(kind: &str) -> &str {
    match kind {
        "grant" => "g",
        "session" => "s",
        "exchange" => "x",
        "grant_sessions" => "gs",
        "grant_exchanges" => "gx",
        "user_sessions" => "us",
        kind => kind,
    }
}

/// `text` as it is kept.
pub(super) fn short(text: &str) -> Cow<'_, str> {
    match digest::bytes(text) {
        Some(bytes) => {
            let mut short = String::from(MARK);
            URL_SAFE_NO_PAD.encode_string(bytes, &mut short);
            short.into()
        }
        None if text.starts_with(MARK) => format!("{MARK}{text}").into(),
        None => text.into(),
    }
}

/// What [`short`] made `kept` of.
pub(super) fn long(kept: String) -> String {
    let Some(rest) = kept.strip_prefix(MARK) else {
        return kept;
    };
    match URL_SAFE_NO_PAD.decode(rest) {
        Ok(bytes) if bytes.len() == digest::BYTES => digest::hex(&bytes),
        _ => rest.to_owned(),
    }
}
