//! How proxy-wasm writes header maps and property paths into linear memory.

use super::headers::Headers;

/// Most pairs that Envoy reads from a module (cpp-host `limits.h`).
pub const MOST_PAIRS: usize = 1024;
/// Most bytes of pairs that Envoy reads from a module (cpp-host `limits.h`).
pub const MOST_PAIRS_BYTES: usize = 1024 * 1024;

/// Writes a header map: u32 count, then (u32 name length, u32 value length) for each, then name NUL value NUL.
#[must_use]
pub fn encode_pairs(headers: &Headers) -> Vec<u8> {
    let mut bytes = length(headers.len()).to_vec();
    for (name, value) in headers.iter() {
        bytes.extend(length(name.len()));
        bytes.extend(length(value.len()));
    }
    for (name, value) in headers.iter() {
        bytes.extend(name);
        bytes.push(0);
        bytes.extend(value);
        bytes.push(0);
    }
    bytes
}

/// Reads what [`encode_pairs`] writes; no bytes at all are an empty map. `None` when the bytes are cut short,
/// not NUL-terminated, or over Envoy's limits.
#[must_use]
pub fn decode_pairs(bytes: &[u8]) -> Option<Headers> {
    if bytes.is_empty() {
        return Some(Headers::new());
    }
    if bytes.len() > MOST_PAIRS_BYTES {
        return None;
    }
    let (count, rest) = take_length(bytes)?;
    if count > MOST_PAIRS {
        return None;
    }
    let mut lengths = Vec::with_capacity(count);
    let mut rest = rest;
    for _ in 0..count {
        let (name, after) = take_length(rest)?;
        let (value, after) = take_length(after)?;
        lengths.push((name, value));
        rest = after;
    }
    let mut headers = Headers::new();
    for (name, value) in lengths {
        let (name, after) = take_terminated(rest, name)?;
        let (value, after) = take_terminated(after, value)?;
        headers.add(name, value);
        rest = after;
    }
    Some(headers)
}

/// The parts of a NUL-separated property path; one NUL at the end is ignored.
#[must_use]
pub fn property_path(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    bytes
        .split(|byte| *byte == 0)
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect()
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count)
        .expect("a header map fits 32-bit memory")
        .to_le_bytes()
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn take_terminated(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (part, rest) = bytes.split_at_checked(length)?;
    let (nul, rest) = rest.split_first()?;
    (*nul == 0).then_some((part, rest))
}
