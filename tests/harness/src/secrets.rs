//! Every token and secret that this process has issued or used, so that all captured output can be searched for them.
//!
//! A component that issues or hands out a secret notes it here first; a component that captures output checks each line
//! here as it comes. So a leak fails the test in which it happens, whatever that test is about.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Length of the pieces that are looked for: a part of a secret that holds one whole piece is found too.
const PIECE: usize = 16;
/// Shorter ones occur by themselves.
const SHORTEST: usize = 6;
/// A benchmark with a million logins is not searched; 40 bytes each.
const MOST_PIECES: usize = 1_000_000;
/// How every compact JWT begins, noted or not: the base64url of `{"`, and more of it than a word of a person.
const JWT_BEGINS: &[u8] = b"eyJ";
const JWT_HEAD: usize = 20;

#[derive(Default)]
struct Noted {
    pieces: HashSet<[u8; PIECE]>,
    short: HashSet<String>,
}

static NOTED: Mutex<Option<Noted>> = Mutex::new(None);

fn noted() -> MutexGuard<'static, Option<Noted>> {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on no component may print `secret`. Of a JWT the signature is looked for; what every token of an
/// issuer has in common is no secret.
pub fn note(secret: &str) {
    let secret = match secret.rsplit_once('.') {
        Some((signed, signature)) if signed.contains('.') && signed.starts_with("eyJ") => signature,
        _ => secret,
    };
    let mut noted = noted();
    let noted = noted.get_or_insert_default();
    if (SHORTEST..PIECE).contains(&secret.len()) {
        noted.short.insert(secret.to_owned());
    } else if noted.pieces.len() < MOST_PIECES {
        noted.pieces.extend(secret.as_bytes().as_chunks().0);
    }
}

/// Whether `text` holds a noted secret, a piece of one, or anything that begins like a JWT.
pub fn are_in(text: &str) -> bool {
    let bytes = text.as_bytes();
    let jwt = |at: usize| {
        let head = bytes.get(at..at + JWT_HEAD).unwrap_or_default();
        head.len() == JWT_HEAD
            && head
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if bytes
        .windows(JWT_BEGINS.len())
        .enumerate()
        .any(|(at, word)| word == JWT_BEGINS && jwt(at))
    {
        return true;
    }
    let noted = noted();
    let Some(noted) = noted.as_ref() else {
        return false;
    };
    let pieces = || {
        bytes
            .array_windows::<PIECE>()
            .any(|window| noted.pieces.contains(window))
    };
    noted.short.iter().any(|secret| text.contains(secret)) || pieces()
}
