//! Header maps as one block of memory, as the ABI passes them: count, then the lengths of all names and values, then
//! `name\0value\0` each.

/// The pairs of a block. Stops at the first thing that does not fit, so that a truncated block reads as fewer headers.
pub(super) fn read(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (count, rest) = split_u32(block).unwrap_or((0, &[]));
    let count = usize::try_from(count).unwrap_or(0);
    let (mut lengths, mut text) = rest
        .split_at_checked(count.saturating_mul(8))
        .unwrap_or((&[], &[]));
    std::iter::from_fn(move || {
        let (name_length, after) = split_u32(lengths)?;
        let (value_length, after) = split_u32(after)?;
        lengths = after;
        let (name, after) = split_text(text, name_length)?;
        let (value, after) = split_text(after, value_length)?;
        text = after;
        Some((name, value))
    })
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn split_text(bytes: &[u8], length: u32) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((text, rest.get(1..)?))
}

/// Headers as one block, for the host.
pub(super) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap_or(0).to_le_bytes();
    let mut block = u32::try_from(headers.len()).unwrap_or(0).to_le_bytes().to_vec();
    for (name, value) in headers {
        block.extend_from_slice(&length(name));
        block.extend_from_slice(&length(value));
    }
    for (name, value) in headers {
        for text in [name, value] {
            block.extend_from_slice(text.as_bytes());
            block.push(0);
        }
    }
    block
}
