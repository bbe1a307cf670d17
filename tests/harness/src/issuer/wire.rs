//! Dex's own encodings: a subject and a refresh token are each a protobuf message of two strings, in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const FIRST_STRING: u8 = 0x0a;
const SECOND_STRING: u8 = 0x12;

/// base64url of a protobuf message with the strings 1 and 2, each shorter than 16 KiB.
pub(crate) fn pair(first: &str, second: &str) -> String {
    let mut message = Vec::with_capacity(first.len() + second.len() + 6);
    for (tag, text) in [(FIRST_STRING, first), (SECOND_STRING, second)] {
        message.push(tag);
        let mut length = text.len();
        while length >= 0x80 {
            message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or_default());
        message.extend_from_slice(text.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(message)
}

/// The two strings back, `None` for anything else.
pub(crate) fn read_pair(encoded: &str) -> Option<(String, String)> {
    let message = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (first, rest) = read_string(FIRST_STRING, &message)?;
    let (second, rest) = read_string(SECOND_STRING, rest)?;
    rest.is_empty().then_some((first, second))
}

fn read_string(tag: u8, message: &[u8]) -> Option<(String, &[u8])> {
    let mut rest = message.strip_prefix(&[tag])?;
    let (mut length, mut shift) = (0_usize, 0_u32);
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return None;
        }
    }
    let (text, rest) = rest.split_at_checked(length)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

/// `sub` of a token: the user at a connector. An exchanged token's user id is the upstream's whole subject.
pub fn subject(user_id: &str, connector_id: &str) -> String {
    pair(user_id, connector_id)
}

/// 25 lower-case letters and digits 2-7, a letter first: refresh ids, their secrets, authorisation codes.
pub(crate) fn new_id() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let random: [u8; 25] = random_bytes();
    random
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if at == 0 {
                char::from(b'a' + byte % 26)
            } else {
                char::from(ALPHABET[usize::from(byte % 32)])
            }
        })
        .collect()
}

/// A key id: 40 hex digits.
pub(crate) fn new_key_id() -> String {
    let random: [u8; 20] = random_bytes();
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut random = [0_u8; N];
    getrandom::fill(&mut random).expect("the system has randomness");
    random
}
