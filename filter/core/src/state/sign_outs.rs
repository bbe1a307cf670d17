//! What has ended: sorted by digest, as bytes, so that a document from shared data needs no decoding.

use std::cmp::Ordering;

use tokenward_protocol::filter_state::{EndedDigest, LIFTED, MAX_SIGN_OUTS, SignOut};

use super::frame::{open, seal};

/// Bytes of an entry: digest, and last second.
const ENTRY_BYTES: usize = 12;
/// Bytes before the first entry: position in control's log, and whether the log was read to its end.
const PREFIX_BYTES: usize = 9;
/// Bytes of the document's frame before its content.
const FRAME_BEFORE: usize = 9;

type Entry = [u8; ENTRY_BYTES];

/// The sign-outs that one VM knows: at most [`MAX_SIGN_OUTS`].
#[derive(Debug, Default)]
pub struct SignOuts {
    /// The document as it is in shared data; empty before the first one.
    document: Vec<u8>,
    revision: u64,
    position: u64,
    is_whole: bool,
}

impl SignOuts {
    /// Takes a document from shared data; `None` if it is damaged, of another format, or too large.
    #[must_use]
    pub fn open(document: Vec<u8>) -> Option<Self> {
        let (revision, content) = open(&document)?;
        let (prefix, entries) = content.split_first_chunk::<PREFIX_BYTES>()?;
        let (position, is_whole) = prefix.split_first_chunk::<8>()?;
        let fits = entries.len().checked_rem(ENTRY_BYTES) == Some(0)
            && entries.len() <= MAX_SIGN_OUTS.saturating_mul(ENTRY_BYTES);
        let (position, is_whole) = (u64::from_le_bytes(*position), is_whole == [1]);
        fits.then_some(Self {
            document,
            revision,
            position,
            is_whole,
        })
    }

    /// The document for shared data.
    #[must_use]
    pub fn document(&self) -> &[u8] {
        &self.document
    }

    /// Grows with every change, whatever control's log does; 0 before the first.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Position in control's log after these entries: the `after` of the next request.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether the log was read to its end once: before that a token may have ended without this VM knowing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of these digests has ended a token that was issued at `issued_at_seconds`.
    #[must_use]
    pub fn cover(&self, digests: &[Option<EndedDigest>], issued_at_seconds: Option<u64>) -> bool {
        let mut known = digests.iter().flatten().filter_map(|digest| self.find(*digest));
        known.any(|sign_out| sign_out.covers(issued_at_seconds))
    }

    fn find(&self, digest: EndedDigest) -> Option<SignOut> {
        let entries = self.entries();
        let place = entries.partition_point(|entry| read(entry).ended < digest);
        entries.get(place).map(read).filter(|found| found.ended == digest)
    }

    fn entries(&self) -> &[Entry] {
        let end = self.document.len().saturating_sub(8);
        let entries = self.document.get(FRAME_BEFORE.saturating_add(PREFIX_BYTES)..end);
        entries.unwrap_or_default().as_chunks().0
    }

    /// These sign-outs with `added` (oldest first: of two with one digest the later holds), read up to `position` of
    /// control's log. Past [`MAX_SIGN_OUTS`] those that ended the earliest tokens give way.
    #[must_use]
    pub fn with(&self, added: &[SignOut], position: u64, is_whole: bool) -> Self {
        let mut added: Vec<(SignOut, usize)> = added
            .iter()
            .copied()
            .enumerate()
            .map(|(at, one)| (one, at))
            .collect();
        sort(&mut added);
        let bytes = self.entries().len().saturating_add(added.len());
        let mut entries: Vec<Entry> = Vec::with_capacity(bytes);
        let mut before = self.entries().iter().peekable();
        let mut news = added.iter().map(|(one, _)| *one).peekable();
        while let Some(new) = news.next() {
            if news.peek().is_some_and(|later| later.ended == new.ended) {
                continue;
            }
            while let Some(entry) = before.next_if(|entry| read(entry).ended < new.ended) {
                entries.push(*entry);
            }
            let _ = before.next_if(|entry| read(entry).ended == new.ended);
            if new.last_second != LIFTED {
                entries.push(written(new));
            }
        }
        entries.extend(before);
        drop_earliest(&mut entries);
        let (revision, is_whole) = (self.revision.saturating_add(1), is_whole || self.is_whole);
        let position_bytes = position.to_le_bytes();
        let content = [&position_bytes[..], &[u8::from(is_whole)], entries.as_flattened()];
        Self {
            document: seal(revision, &content),
            revision,
            position,
            is_whole,
        }
    }
}

fn read(entry: &Entry) -> SignOut {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *entry;
    SignOut {
        ended: EndedDigest(u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        last_second: u32::from_le_bytes(rest),
    }
}

fn written(sign_out: SignOut) -> Entry {
    let [a, b, c, d, e, f, g, h] = sign_out.ended.0.to_le_bytes();
    let [i, j, k, l] = sign_out.last_second.to_le_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// Sorts by digest, then by age (Shell's method with Knuth's steps: the standard sorts would be an eighth of the module).
fn sort(added: &mut [(SignOut, usize)]) {
    let order = |one: &(SignOut, usize), other: &(SignOut, usize)| {
        one.0.ended.cmp(&other.0.ended).then(one.1.cmp(&other.1))
    };
    let is_after = |added: &[(SignOut, usize)], left: usize, right: usize| {
        let pair = added.get(left).zip(added.get(right));
        pair.is_some_and(|(left, right)| order(left, right) == Ordering::Greater)
    };
    let mut step = 1_usize;
    while step < added.len() {
        step = step.saturating_mul(3).saturating_add(1);
    }
    while step > 0 {
        for start in step..added.len() {
            let mut right = start;
            while let Some(left) = right
                .checked_sub(step)
                .filter(|left| is_after(added, *left, right))
            {
                added.swap(left, right);
                right = left;
            }
        }
        step = step.div_euclid(3);
    }
}

/// Lets those that ended the earliest tokens give way, so that at most [`MAX_SIGN_OUTS`] remain.
fn drop_earliest(entries: &mut Vec<Entry>) {
    let excess = entries.len().saturating_sub(MAX_SIGN_OUTS);
    if excess == 0 {
        return;
    }
    // The earliest second up to which there are at least as many as must give way.
    let (mut low, mut high) = (0, u32::MAX);
    while low < high {
        let middle = low.midpoint(high);
        let until = entries
            .iter()
            .filter(|entry| read(entry).last_second <= middle)
            .count();
        if until >= excess {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    let mut left = excess;
    let mut gives_way = |second: u32| {
        let gives_way = second < low;
        left = left.saturating_sub(usize::from(gives_way));
        gives_way
    };
    entries.retain(|entry| !gives_way(read(entry).last_second));
    entries.retain(|entry| {
        let gives_way = left > 0 && read(entry).last_second == low;
        left = left.saturating_sub(usize::from(gives_way));
        !gives_way
    });
}
