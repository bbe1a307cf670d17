//! Bytes to [`FilterState`], verified as a whole.

use super::{
    CHECKSUM_BYTES, EndedDigest, FilterState, MAGIC, MAX_SERVERS_BYTES, SIGN_OUT_BYTES, ServerList, SignOut,
    checksum,
};

/// Why bytes are no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadState {
    /// They begin otherwise: another format, or another service's answer.
    #[error("it is not in this filter's format")]
    Format,
    /// They end early, or the checksum is another.
    #[error("it is incomplete or was changed on its way")]
    Damaged,
}

impl<'a> FilterState<'a> {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`BadState`]; nothing of it may be used then.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BadState> {
        if !bytes.starts_with(MAGIC) {
            return Err(BadState::Format);
        }
        let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(BadState::Damaged)?;
        let (content, sum) = bytes.split_at_checked(end).ok_or(BadState::Damaged)?;
        if checksum(content) != sum {
            return Err(BadState::Damaged);
        }
        Self::content(content).ok_or(BadState::Damaged)
    }

    fn content(content: &'a [u8]) -> Option<Self> {
        let mut rest = content.get(MAGIC.len()..)?;
        let version = u64::from_le_bytes(*take(&mut rest)?);
        let [has_more] = *take(&mut rest)?;
        let servers_version = u64::from_le_bytes(*take(&mut rest)?);
        let length = length(&mut rest)?;
        let (json, mut rest) = rest
            .split_at_checked(length)
            .filter(|_| length <= MAX_SERVERS_BYTES)?;
        let count = self::length(&mut rest)?;
        let (entries, after) = rest.as_chunks::<SIGN_OUT_BYTES>();
        if entries.len() != count || !after.is_empty() {
            return None;
        }
        Some(Self {
            version,
            has_more: has_more == 1,
            servers: (servers_version != 0).then_some(ServerList {
                version: servers_version,
                json,
            }),
            sign_outs: entries.iter().map(sign_out).collect(),
        })
    }
}

fn sign_out(bytes: &[u8; SIGN_OUT_BYTES]) -> SignOut {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
    SignOut {
        ended: EndedDigest(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        last_second: u32::from_le_bytes([i, j, k, l]),
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(first)
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*take(rest)?)).ok()
}
