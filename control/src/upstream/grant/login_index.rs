//! The index of a user's logins at an issuer with a refresh token for each login: its entries, their order, and which
//! logins a revocation would end. Pure.

use super::record::GrantKey;
use crate::digest;

/// Entries of one user that are kept. Beyond them the ended ones are dropped first, then the oldest: their sessions still
/// lead to them, and the user's next sign-out still ends them.
pub const MOST_ENTRIES: usize = 256;

/// Digits of a `sid`'s digest in an entry: enough to distinguish the logins of one user.
const SID_DIGITS: usize = 16;
const NO_SID: &str = "-";
const LIVE: &str = "live";
const ENDED: &str = "ended";

/// One login of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginEntry {
    /// When it was made, Unix ms.
    pub made_at_ms: u64,
    /// The key of its record.
    pub login: GrantKey,
    /// The first digits of the digest of the issuer's session (`sid`) in which it was made.
    pub sid: Option<String>,
    /// Whether it has ended here. Its record remains for a while.
    pub has_ended: bool,
}

impl LoginEntry {
    /// The entry of the login with the key `login`, which was made in the issuer's session with this digest
    /// ([`crate::session::sid_digest`]).
    #[must_use]
    pub fn new(login: GrantKey, made_at_ms: u64, sid: Option<&str>) -> Self {
        Self {
            made_at_ms,
            login,
            sid: sid.map(short_sid),
            has_ended: false,
        }
    }

    /// The member of the set that stands for it.
    #[must_use]
    pub fn to_member(&self) -> String {
        let sid = self.sid.as_deref().unwrap_or(NO_SID);
        let state = if self.has_ended { ENDED } else { LIVE };
        format!("{:x}.{}.{sid}.{state}", self.made_at_ms, self.login.digest())
    }

    /// The entry of `member`; `None` for any other text.
    #[must_use]
    pub fn parse(member: &str) -> Option<Self> {
        let parts: Vec<&str> = member.split('.').collect();
        let [made_at, login, sid, state] = parts.as_slice() else {
            return None;
        };
        digest::bytes(login)?;
        Some(Self {
            made_at_ms: u64::from_str_radix(made_at, 16).ok()?,
            login: GrantKey::from_digest((*login).to_owned()),
            sid: (*sid != NO_SID).then(|| (*sid).to_owned()),
            has_ended: *state == ENDED,
        })
    }

    /// Whether it was made in the issuer's session with this digest.
    #[must_use]
    pub fn is_of_sid(&self, sid: &str) -> bool {
        self.sid.as_deref() == Some(short_sid(sid).as_str())
    }

    /// Whether revoking the refresh token of this login can end `other` at the issuer as well: issuers with sessions of their
    /// own (`sid`) end what was made in the token's session. Without any `sid` each refresh token is a grant of its own
    /// (RFC 7009 §2.1).
    #[must_use]
    pub fn ends_with_revocation(&self, other: &Self) -> bool {
        match (&self.sid, &other.sid) {
            (Some(own), Some(other)) => own == other,
            (None, None) => false,
            // One of them is not known.
            _ => true,
        }
    }
}

fn short_sid(sid: &str) -> String {
    sid.chars().take(SID_DIGITS).collect()
}

/// The entries in the order in which a request looks at them: those of the issuer's session `sid` first, whether or not they
/// have ended, then the live ones; the newest first.
#[must_use]
pub fn in_order<'a>(entries: &'a [LoginEntry], sid: Option<&str>) -> Vec<&'a LoginEntry> {
    let is_of_sid = |entry: &LoginEntry| sid.is_some_and(|sid| entry.is_of_sid(sid));
    let mut ordered: Vec<&LoginEntry> = entries.iter().collect();
    ordered.sort_by_key(|entry| {
        (
            !is_of_sid(entry),
            entry.has_ended,
            std::cmp::Reverse(entry.made_at_ms),
            entry.login.digest(),
        )
    });
    ordered
}

/// The entries that no longer have a place beside `newest`.
#[must_use]
pub fn surplus<'a>(entries: &'a [LoginEntry], newest: &LoginEntry) -> Vec<&'a LoginEntry> {
    let mut others: Vec<&LoginEntry> = entries
        .iter()
        .filter(|entry| entry.login != newest.login)
        .collect();
    others.sort_by_key(|entry| (entry.has_ended, std::cmp::Reverse(entry.made_at_ms)));
    others.split_off(others.len().min(MOST_ENTRIES - 1))
}
