//! The documents in shared data: what all VMs of one Envoy know of control's state.
//!
//! ```text
//! tokenward/state/head       format, version of the servers, revision of the sign-outs
//! tokenward/state/servers    format, version, JSON as control sent it, checksum
//! tokenward/state/sign_outs  format, revision, log position, whether whole, entries, checksum
//! ```
//! A format that changes gets keys of its own besides a number of its own: the VMs of the module before it drain for minutes
//! and must not overwrite what the new ones have stored.

use tokenward_protocol::filter_state::MAX_SERVERS_BYTES;

use super::frame::{FORMAT, FRAME_BYTES, open};
use super::sign_outs::SignOuts;
use crate::host::{Host, SetFailure, WriteCondition};
use crate::pair::memory::update_value;

/// The key of [`Head`].
pub const HEAD_KEY: &str = "tokenward/state/head";
/// The key of the servers' document.
pub const SERVERS_KEY: &str = "tokenward/state/servers";
/// The key of the sign-outs' document.
pub const SIGN_OUTS_KEY: &str = "tokenward/state/sign_outs";

/// Which documents there are: small, because every VM reads it often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// Version of the servers; 0 for none.
    pub servers_version: u64,
    /// Revision of the sign-outs; 0 for none.
    pub revision: u64,
}

impl Head {
    /// The head as bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (servers, revision) = (self.servers_version.to_le_bytes(), self.revision.to_le_bytes());
        [&[FORMAT], &servers[..], &revision[..]].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (servers, rest) = bytes.strip_prefix(&[FORMAT])?.split_first_chunk::<8>()?;
        Some(Self {
            servers_version: u64::from_le_bytes(*servers),
            revision: u64::from_le_bytes(rest.try_into().ok()?),
        })
    }

    /// The head in shared data; that of no documents when there is none or the host fails.
    pub(crate) fn read(host: &impl Host) -> Self {
        let stored = host.shared(HEAD_KEY).ok().flatten();
        stored
            .and_then(|value| Self::decode(&value.bytes))
            .unwrap_or_default()
    }

    /// Raises the head in shared data to this one. Returns what it is then.
    pub(crate) fn raise(self, host: &impl Host) -> Self {
        let mut after = self;
        // A head that cannot be written is written after the next poll.
        let _ = update_value(host, HEAD_KEY, &mut |bytes| {
            let before = bytes.and_then(|bytes| Self::decode(&bytes)).unwrap_or_default();
            after = Self {
                servers_version: before.servers_version.max(self.servers_version),
                revision: before.revision.max(self.revision),
            };
            (after != before).then(|| after.encode())
        });
        after
    }

    /// Marks the documents as absent, because one of them cannot be used: the VM that polls stores them again.
    pub(crate) fn reset(host: &impl Host) {
        let _ = update_value(host, HEAD_KEY, &mut |_| Some(Self::default().encode()));
    }
}

/// The servers in shared data, framed; `None` when there are none that can be used.
pub(crate) fn read_servers(host: &impl Host) -> Option<Vec<u8>> {
    let document = host.shared(SERVERS_KEY).ok()??.bytes;
    let most = MAX_SERVERS_BYTES.saturating_add(FRAME_BYTES);
    (document.len() <= most && open(&document).is_some()).then_some(document)
}

/// The sign-outs in shared data; `None` when there are none that can be used.
pub(crate) fn read_sign_outs(host: &impl Host) -> Option<SignOuts> {
    SignOuts::open(host.shared(SIGN_OUTS_KEY).ok()??.bytes)
}

/// Stores a document in place of one of an earlier version, or of one that cannot be used. Whether it is stored.
pub(crate) fn write(host: &impl Host, key: &str, document: &[u8], version: u64) -> bool {
    // One try, and a host that fails stores nothing: this VM knows it all the same. A VM that loses to another one reads what that one has stored.
    let Ok(before) = host.shared(key) else {
        return false;
    };
    let condition = before.as_ref().map_or(WriteCondition::Absent, |value| {
        WriteCondition::Unchanged(value.cas)
    });
    let is_newer = before
        .and_then(|value| open(&value.bytes).map(|(before, _)| before))
        .is_none_or(|before| before < version);
    is_newer && host.set_shared(key, document, condition) != Err(SetFailure::Mismatch)
}
