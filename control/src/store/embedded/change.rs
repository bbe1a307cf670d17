//! What the writer of the embedded file carries out, one step of a transaction each.

use crate::store::{Expected, WriteOutcome};

/// One queued change. Lifetimes are in milliseconds.
pub(super) enum Change {
    Write {
        key: String,
        expected: Expected,
        value: Vec<u8>,
        lifetime_ms: Option<u64>,
    },
    Delete {
        key: String,
        expected: Expected,
    },
    AddMember {
        set: String,
        member: String,
        lifetime_ms: u64,
    },
    RemoveMember {
        set: String,
        member: String,
    },
    Append {
        stream: String,
        values: Vec<Vec<u8>>,
        most: usize,
        lifetime_ms: u64,
    },
    Sweep {
        at_most: usize,
    },
}

/// The outcome of a change.
pub(super) enum ChangeOutcome {
    Write(WriteOutcome),
    Set,
    Appended,
    Swept(usize),
}
