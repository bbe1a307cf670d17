//! The frame of a document in shared data: format, version, and a checksum at the end.

use crate::mix::mixed;

pub(super) const FORMAT: u8 = 1;
/// Bytes of a document besides its content.
pub(super) const FRAME_BYTES: usize = 17;

/// Frames `content` as a document.
#[must_use]
pub fn seal(version: u64, content: &[&[u8]]) -> Vec<u8> {
    let bytes = content.iter().map(|part| part.len()).sum::<usize>();
    let mut document = Vec::with_capacity(bytes.saturating_add(FRAME_BYTES));
    document.push(FORMAT);
    document.extend_from_slice(&version.to_le_bytes());
    for part in content {
        document.extend_from_slice(part);
    }
    let sum = mixed(0, &document).to_le_bytes();
    document.extend_from_slice(&sum);
    document
}

/// The version and the content of a document; `None` if it is damaged or of another format.
#[must_use]
pub fn open(document: &[u8]) -> Option<(u64, &[u8])> {
    let (framed, sum) = document.split_last_chunk::<8>()?;
    let (version, content) = framed.strip_prefix(&[FORMAT])?.split_first_chunk::<8>()?;
    (mixed(0, framed).to_le_bytes() == *sum).then_some((u64::from_le_bytes(*version), content))
}
