//! Decodes a response body to UTF-8: issuers compress although the request does not permit it, and send a byte order mark or
//! UTF-16.

use std::io::Read as _;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Layers of compression that are removed: a proxy in front of an issuer can add a second one; more are an attack.
const MAX_LAYERS: usize = 2;

/// `body`, sent with this `Content-Encoding`, decompressed to at most `longest` bytes, as UTF-8 without a byte order mark. Of
/// a body that cannot be decompressed to its end, the part before the error is returned.
#[must_use]
pub fn decode(content_encoding: Option<&str>, body: Vec<u8>, longest: usize) -> Vec<u8> {
    let mut body = body;
    for _ in 0..MAX_LAYERS {
        match unpacked(content_encoding, &body, longest) {
            Some(unpacked) => body = unpacked,
            None => break,
        }
    }
    utf8(body)
}

/// The content below one layer of compression; `None` if there is no layer or no content. JSON never begins like compressed
/// data, so the header matters only for a format without a signature of its own.
fn unpacked(content_encoding: Option<&str>, body: &[u8], longest: usize) -> Option<Vec<u8>> {
    let is_deflate = content_encoding.is_some_and(|names| names.to_ascii_lowercase().contains("deflate"));
    match body {
        [0x1F, 0x8B, ..] => content(MultiGzDecoder::new(body), longest),
        [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => content(ZlibDecoder::new(body), longest),
        [b'{', ..] => None,
        _ if is_deflate => content(DeflateDecoder::new(body), longest),
        _ => None,
    }
}

fn content(reader: impl std::io::Read, longest: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let limit = u64::try_from(longest).unwrap_or(u64::MAX);
    // The content before an error counts: the response may be incomplete.
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
