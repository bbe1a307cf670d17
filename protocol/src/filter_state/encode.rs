//! [`FilterState`] to bytes.

use super::{CHECKSUM_BYTES, FilterState, MAGIC, SIGN_OUT_BYTES, checksum};

impl FilterState<'_> {
    /// The answer as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (version, json) = self
            .servers
            .map_or((0, &[][..]), |list| (list.version, list.json));
        let size = json
            .len()
            .saturating_add(self.sign_outs.len().saturating_mul(SIGN_OUT_BYTES));
        let mut bytes = Vec::with_capacity(size.saturating_add(32).saturating_add(CHECKSUM_BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.push(u8::from(self.has_more));
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&length(json.len()));
        bytes.extend_from_slice(json);
        bytes.extend_from_slice(&length(self.sign_outs.len()));
        for sign_out in &self.sign_outs {
            bytes.extend_from_slice(&sign_out.ended.0.to_le_bytes());
            bytes.extend_from_slice(&sign_out.last_second.to_le_bytes());
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }
}

/// Lengths are bounded far below 2³²; one that is not would fail the reader's check.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
