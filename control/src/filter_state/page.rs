//! The records of the log, and the arithmetic of its positions.
//!
//! The log is a chain of pages with increasing numbers. An entry's position is its page's number and its place in the page,
//! so positions grow from page to page. The head names the pages; an entry counts once its page is named there.

use serde::{Deserialize, Serialize};
use tokenward_protocol::filter_state::{EndedDigest, MAX_SIGN_OUTS, SignOut};

use crate::record::codec;
use crate::store::{Entry, Key, Revision, StoreError};

const FORMAT: u8 = 1;
/// Bits of a position that are the place in a page.
const PLACE_BITS: u32 = 10;
/// Most entries of a page.
pub(super) const PAGE_ENTRIES: usize = 1 << PLACE_BITS;
/// Most pages that the head names: all that filters remember, the newest page and the rest of the oldest.
const MOST_PAGES: usize = MAX_SIGN_OUTS.div_ceil(PAGE_ENTRIES) + 1;

/// The key of the head.
pub(super) fn head_key() -> Key {
    Key::new("sign_out_log", "head")
}

/// The key of the page `number`.
pub(super) fn page_key(number: u64) -> Key {
    Key::new("sign_out_page", &number.to_string())
}

/// The number of the page that holds `position`.
pub(super) const fn page_of(position: u64) -> u64 {
    position >> PLACE_BITS
}

/// The position before the first entry of the page `number`, which is after all entries of the pages before it.
pub(super) const fn start_of(number: u64) -> u64 {
    (number << PLACE_BITS).saturating_sub(1)
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeadRecord {
    format: u8,
    /// Oldest first.
    pages: Vec<u64>,
    /// The lineage of the store when the newest page was named; where it is another by now, entries may have been lost, and
    /// their positions must not be given to others.
    lineage: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PageRecord {
    format: u8,
    /// No entry follows: a later page is about to be named.
    is_sealed: bool,
    /// Digest and last second of each.
    entries: Vec<(u64, u32)>,
}

/// The head as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Numbers of the pages, oldest first.
    pub(super) pages: Vec<u64>,
    /// The store's lineage when the newest was named.
    pub(super) lineage: Option<String>,
    pub(super) revision: Revision,
}

impl Head {
    pub(super) fn read(entry: &Entry) -> Result<Self, StoreError> {
        let record: HeadRecord = codec::decode(FORMAT, &head_key(), &entry.value)?;
        Ok(Self {
            pages: record.pages,
            lineage: record.lineage,
            revision: entry.revision,
        })
    }

    /// The number of the newest page; 0 without any.
    pub(super) fn newest(&self) -> u64 {
        self.pages.last().copied().unwrap_or(0)
    }

    /// The bytes of a head that names the page `number` too, under `lineage`.
    pub(super) fn with_page(
        pages: &[u64],
        number: u64,
        lineage: Option<String>,
    ) -> Result<Vec<u8>, StoreError> {
        let forgotten = (pages.len() + 1).saturating_sub(MOST_PAGES);
        let mut pages = pages.get(forgotten..).unwrap_or_default().to_vec();
        pages.push(number);
        codec::encode(
            "serialize sign-out log",
            &HeadRecord {
                format: FORMAT,
                pages,
                lineage,
            },
        )
    }
}

/// A page as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) entries: Vec<SignOut>,
    pub(super) is_sealed: bool,
    pub(super) revision: Revision,
}

impl Page {
    pub(super) fn read(number: u64, entry: &Entry) -> Result<Self, StoreError> {
        let record: PageRecord = codec::decode(FORMAT, &page_key(number), &entry.value)?;
        let entries = record.entries.into_iter();
        Ok(Self {
            entries: entries
                .map(|(ended, last_second)| SignOut {
                    ended: EndedDigest(ended),
                    last_second,
                })
                .collect(),
            is_sealed: record.is_sealed,
            revision: entry.revision,
        })
    }

    /// How many entries may follow.
    pub(super) const fn room(&self) -> usize {
        if self.is_sealed {
            0
        } else {
            PAGE_ENTRIES.saturating_sub(self.entries.len())
        }
    }

    /// The bytes of a page with `entries` and those of `more`.
    pub(super) fn encode(
        entries: &[SignOut],
        more: &[SignOut],
        is_sealed: bool,
    ) -> Result<Vec<u8>, StoreError> {
        let all = entries.iter().chain(more);
        codec::encode(
            "serialize sign-outs",
            &PageRecord {
                format: FORMAT,
                is_sealed,
                entries: all.map(|entry| (entry.ended.0, entry.last_second)).collect(),
            },
        )
    }
}
