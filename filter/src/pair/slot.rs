//! The format of one slot: a version byte, a count, and fixed-size little-endian entries.

/// Number of slots in shared data. 1,024 slots × 16 entries × 48 bytes: 786 KB at the most, for the whole Envoy.
pub const SLOTS: u16 = 1024;
/// Entries per slot.
pub const ENTRIES: usize = 16;
/// Bytes per entry.
const ENTRY_BYTES: usize = 48;
/// Raised whenever the layout changes; a slot of another version counts as empty and is overwritten.
const VERSION: u8 = 1;

const KIND_GATE: u8 = 1;
const KIND_THROTTLE: u8 = 2;

/// One remembered thing. All times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The gate of one presented token within a pair.
    Gate(Gate),
    /// The log throttle of a pair.
    Throttle(Throttle),
}

/// The gate of one presented token within a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Digest of (session, server, presented token).
    pub key: [u8; 16],
    /// [`tokenward_protocol::refusal::Refusal::code`] of the refusal that closed it.
    pub refusal: u8,
    /// Refusals in a row, for the backoff.
    pub failures: u16,
    /// Closed before this moment.
    pub closed_until_ms: u64,
    /// A probe is under way until this moment at the latest; 0 for none.
    pub probe_until_ms: u64,
    /// Last written.
    pub touched_ms: u64,
}

/// The log throttle of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttle {
    /// Digest of (session, server).
    pub key: [u8; 16],
    /// Whether the pair is failing and a WARN said so: the next success is worth an INFO.
    pub warned: bool,
    /// [`tokenward_protocol::refusal::Refusal::code`] of the last refusal.
    pub refusal: u8,
    /// Refusals since the last WARN that were not logged above DEBUG.
    pub suppressed: u32,
    /// Refusals in a row since the last success.
    pub in_a_row: u32,
    /// When the last WARN was written; 0 for never.
    pub last_warn_ms: u64,
    /// Last written.
    pub touched_ms: u64,
}

impl Entry {
    fn key(&self) -> (u8, &[u8; 16]) {
        match self {
            Self::Gate(gate) => (KIND_GATE, &gate.key),
            Self::Throttle(throttle) => (KIND_THROTTLE, &throttle.key),
        }
    }

    fn touched_ms(&self) -> u64 {
        match self {
            Self::Gate(gate) => gate.touched_ms,
            Self::Throttle(throttle) => throttle.touched_ms,
        }
    }
}

/// One slot's entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slot {
    entries: Vec<Entry>,
}

impl Slot {
    /// Reads a slot. Bytes of another version, of the wrong length or with an unknown kind count as an empty slot:
    /// forgetting costs a repeated WARN at the most.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        Self::try_decode(bytes).unwrap_or_default()
    }

    fn try_decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if version != VERSION || rest.len() > ENTRIES.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        let chunks = rest.chunks_exact(ENTRY_BYTES);
        if !chunks.remainder().is_empty() {
            return None;
        }
        Some(Self {
            entries: chunks.map(decode_entry).collect::<Option<_>>()?,
        })
    }

    /// The slot as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for entry in &self.entries {
            encode_entry(entry, &mut bytes);
        }
        bytes
    }

    /// The gate with this key.
    #[must_use]
    pub fn gate(&self, key: &[u8; 16]) -> Option<Gate> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Gate(gate) if gate.key == *key => Some(*gate),
            _ => None,
        })
    }

    /// The throttle with this key.
    #[must_use]
    pub fn throttle(&self, key: &[u8; 16]) -> Option<Throttle> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Throttle(throttle) if throttle.key == *key => Some(*throttle),
            _ => None,
        })
    }

    /// Writes an entry in place of the one with its key, or into a free place, or in place of the oldest.
    ///
    /// A gate goes before a throttle when both could: a forgotten gate costs one call, a forgotten throttle a log line.
    pub fn put(&mut self, entry: Entry) {
        if let Some(place) = self.entries.iter_mut().find(|other| other.key() == entry.key()) {
            *place = entry;
            return;
        }
        if self.entries.len() >= ENTRIES {
            let oldest = self
                .entries
                .iter()
                .enumerate()
                .min_by_key(|(_, other)| (matches!(other, Entry::Throttle(_)), other.touched_ms()))
                .map(|(at, _)| at);
            if let Some(at) = oldest {
                self.entries.swap_remove(at);
            }
        }
        self.entries.push(entry);
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn encode_entry(entry: &Entry, bytes: &mut Vec<u8>) {
    let (kind, key) = entry.key();
    bytes.extend_from_slice(key);
    bytes.push(kind);
    match entry {
        Entry::Gate(gate) => {
            bytes.push(gate.refusal);
            bytes.extend_from_slice(&gate.failures.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&gate.closed_until_ms.to_le_bytes());
            bytes.extend_from_slice(&gate.probe_until_ms.to_le_bytes());
            bytes.extend_from_slice(&gate.touched_ms.to_le_bytes());
        }
        Entry::Throttle(throttle) => {
            bytes.push(throttle.refusal);
            bytes.extend_from_slice(&[u8::from(throttle.warned), 0]);
            bytes.extend_from_slice(&throttle.suppressed.to_le_bytes());
            bytes.extend_from_slice(&throttle.last_warn_ms.to_le_bytes());
            bytes.extend_from_slice(&throttle.in_a_row.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&throttle.touched_ms.to_le_bytes());
        }
    }
}

fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    let (&key, rest) = bytes.split_first_chunk::<16>()?;
    let (&[kind, refusal, low, high], rest) = rest.split_first_chunk::<4>()?;
    let (&count, rest) = rest.split_first_chunk::<4>()?;
    let (&first, rest) = rest.split_first_chunk::<8>()?;
    let (&second, rest) = rest.split_first_chunk::<8>()?;
    let (&touched, _) = rest.split_first_chunk::<8>()?;
    let touched_ms = u64::from_le_bytes(touched);
    match kind {
        KIND_GATE => Some(Entry::Gate(Gate {
            key,
            refusal,
            failures: u16::from_le_bytes([low, high]),
            closed_until_ms: u64::from_le_bytes(first),
            probe_until_ms: u64::from_le_bytes(second),
            touched_ms,
        })),
        KIND_THROTTLE => Some(Entry::Throttle(Throttle {
            key,
            refusal,
            warned: low != 0,
            suppressed: u32::from_le_bytes(count),
            last_warn_ms: u64::from_le_bytes(first),
            in_a_row: u32::from_le_bytes(second.first_chunk::<4>().copied().unwrap_or_default()),
            touched_ms,
        })),
        _ => None,
    }
}
