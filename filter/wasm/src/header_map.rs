//! Header maps as the proxy-wasm ABI passes them, in one block of memory: count, then the lengths of all names and values,
//! then `name\0value\0` each.

/// The headers of a block, one after the other.
#[derive(Debug)]
pub struct HeaderMap<'a> {
    left: usize,
    lengths: &'a [u8],
    text: &'a [u8],
}

/// Reads the headers of `block`. The iterator stops at the first one that does not fit; [`HeaderMap::is_whole`] is false then.
#[must_use]
pub fn read(block: &[u8]) -> HeaderMap<'_> {
    let (count, rest) = split_u32(block).unwrap_or((0, &[]));
    let left = usize::try_from(count).unwrap_or(usize::MAX);
    let (lengths, text) = rest
        .split_at_checked(left.saturating_mul(8))
        .unwrap_or((&[], &[]));
    HeaderMap { left, lengths, text }
}

impl HeaderMap<'_> {
    /// Whether every header that the block announced has been read: the missing headers of a truncated block might have any
    /// value.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left == 0
    }
}

impl<'a> Iterator for HeaderMap<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, after) = self.lengths.split_first_chunk::<8>()?;
        let lengths = u64::from_le_bytes(*lengths);
        let name_length = usize::try_from(lengths & 0xFFFF_FFFF).ok()?;
        let value_length = usize::try_from(lengths >> 32).ok()?;
        let end_of_value = name_length.checked_add(1)?.checked_add(value_length)?;
        let (header, text) = self.text.split_at_checked(end_of_value.checked_add(1)?)?;
        let name = header.get(..name_length)?;
        let value = header.get(name_length.saturating_add(1)..end_of_value)?;
        (self.lengths, self.text) = (after, text);
        self.left = self.left.saturating_sub(1);
        Some((name, value))
    }
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Encodes headers as one block, for the host.
#[must_use]
pub fn encode(headers: &[(&str, &str)]) -> Vec<u8> {
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

/// Parses a `:status` of three digits; 0 for anything else.
#[must_use]
pub fn status_code(text: &[u8]) -> u16 {
    match text {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte.wrapping_sub(b'0'));
            digit(a)
                .saturating_mul(100)
                .saturating_add(digit(b).saturating_mul(10))
                .saturating_add(digit(c))
        }
        _ => 0,
    }
}
