//! The bytes of an answer as UTF-8, whatever they were sent as: issuers compress without being asked, and put a byte order
//! mark before their JSON.

use std::io::Read as _;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Compressed twice is a proxy in front of an issuer; more often is an attack.
const MOST_LAYERS: usize = 2;

/// `body`, sent with the header `content-encoding`, unpacked to at most `longest` bytes, as UTF-8 without a byte order
/// mark. What cannot be unpacked to its end is kept as far as it could be.
#[must_use]
pub fn decode(content_encoding: Option<&str>, body: Vec<u8>, longest: usize) -> Vec<u8> {
    let mut body = body;
    for _ in 0..MOST_LAYERS {
        match unpacked(content_encoding, &body, longest) {
            Some(unpacked) => body = unpacked,
            None => break,
        }
    }
    utf8(body)
}

/// The content below one layer of compression; `None` where there is none, or nothing comes out. JSON never begins like
/// compressed data, so the header is asked only about what has no mark of its own.
fn unpacked(content_encoding: Option<&str>, body: &[u8], longest: usize) -> Option<Vec<u8>> {
    let says_deflate = content_encoding.is_some_and(|names| names.to_ascii_lowercase().contains("deflate"));
    match body {
        [0x1F, 0x8B, ..] => content(MultiGzDecoder::new(body), longest),
        [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => content(ZlibDecoder::new(body), longest),
        [b'{', ..] => None,
        _ if says_deflate => content(DeflateDecoder::new(body), longest),
        _ => None,
    }
}

fn content(reader: impl std::io::Read, longest: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(longest).unwrap_or(u64::MAX);
    // What came out before an error counts: the answer may have broken off.
    let _ = reader.take(limit).read_to_end(&mut content);
    (!content.is_empty()).then_some(content)
}

fn utf8(body: Vec<u8>) -> Vec<u8> {
    match body.as_slice() {
        [0xEF, 0xBB, 0xBF, rest @ ..] => rest.to_vec(),
        [0xFF, 0xFE, rest @ ..] => of_utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => of_utf16(rest, u16::from_be_bytes),
        [b'{', 0, ..] => of_utf16(&body, u16::from_le_bytes),
        [0, b'{', ..] => of_utf16(&body, u16::from_be_bytes),
        _ => body,
    }
}

fn of_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Vec<u8> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    String::from_utf16_lossy(&units).into_bytes()
}
