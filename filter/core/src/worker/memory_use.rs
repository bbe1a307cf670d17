//! What one worker holds, for sizing a gateway: no request pays for it.

use super::state::Worker;
use crate::host::Host;

/// What a worker's bounded memories hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Tokens that it has seen.
    pub tokens: usize,
    /// Bytes of these and of their uses, by the estimate that bounds them.
    pub token_bytes: usize,
    /// Replacements from control.
    pub replacements: usize,
    /// Bytes of their texts.
    pub replacement_bytes: usize,
}

impl MemoryUse {
    /// Bytes in sum.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.token_bytes.saturating_add(self.replacement_bytes)
    }
}

impl<H: Host> Worker<H> {
    /// What its memories hold.
    pub(crate) fn memory_use(&self) -> MemoryUse {
        let (tokens, token_bytes) = self.memo.held();
        MemoryUse {
            tokens,
            token_bytes,
            replacements: self.replacements.len(),
            replacement_bytes: self.replacements.bytes(),
        }
    }
}
