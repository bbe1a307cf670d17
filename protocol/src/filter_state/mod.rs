//! What the filter learns from control: `GET /filter/state?after=VERSION&servers=VERSION`, answered in this format.
//!
//! An answer has the entries of the sign-out log after `after`, and the list of servers if control has a newer one than
//! `servers`. Both versions only grow; a filter that has neither asks with 0. Control authenticates the filter by the same
//! bearer as at the token endpoint, and every answer has [`crate::token_endpoint::MARKER_HEADER`].
//!
//! ```text
//! "TWS1"                                   4 bytes
//! version            u64 little endian     the next request's `after`
//! has_more           u8                    1: entries were left out, ask again at once
//! servers_version    u64                   0: no list of servers follows
//! servers            u32 length, JSON      an object: `servers` and `authorization_server` as in the filter's configuration
//! sign_outs          u32 count, 12 bytes each: EndedDigest u64, last_second u32
//! checksum           8 bytes               the first of the SHA-256 of everything before
//! ```

mod decode;
mod encode;
mod ended;

pub use decode::BadState;
pub use ended::{ALWAYS, EndedDigest, LIFTED, SignOut};

/// Path of the endpoint.
pub const STATE_PATH: &str = "/filter/state";
/// Most servers in a list.
pub const MAX_SERVERS: usize = 1_000;
/// Most bytes of a list's JSON.
pub const MAX_SERVERS_BYTES: usize = 1024 * 1024;
/// Most sign-outs that a filter remembers; past that the oldest give way.
pub const MAX_SIGN_OUTS: usize = 100_000;
/// Most sign-outs of one answer.
pub const MAX_SIGN_OUTS_OF_ANSWER: usize = 8_192;
/// Longest answer, in bytes.
pub const MAX_STATE_BYTES: usize = MAX_SERVERS_BYTES + MAX_SIGN_OUTS_OF_ANSWER * SIGN_OUT_BYTES + 64;

const MAGIC: &[u8; 4] = b"TWS1";
const SIGN_OUT_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 8;

/// A list of servers with its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerList<'a> {
    /// Grows with every change; never 0.
    pub version: u64,
    /// A JSON object with `servers` and, where there is one, `authorization_server`.
    pub json: &'a [u8],
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterState<'a> {
    /// The log's position after these entries: the next request's `after`.
    pub version: u64,
    /// Whether further entries were left out: the next request should follow at once.
    pub has_more: bool,
    /// The list of servers, if it is newer than the filter's.
    pub servers: Option<ServerList<'a>>,
    /// The sign-outs, oldest first: of two with the same digest the later one holds.
    pub sign_outs: Vec<SignOut>,
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] =
        sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(bytes)).into();
    let mut first = [0; CHECKSUM_BYTES];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    first
}
