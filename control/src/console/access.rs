//! The rule of entry: the ID token of a verified login names one of the configured groups.

use tokenward_protocol::json::Json;

use super::identity::with_payload;

/// Groups in one token that are read: more is no list of one person's groups.
const MOST_GROUPS: usize = 10_000;

/// Whether the claim `claim` of `token` names one of `allowed`. The claim is a list of texts, or one text; anything else
/// names no group. Compared byte for byte.
#[must_use]
pub fn is_member(token: &str, claim: &str, allowed: &[String]) -> bool {
    let found = with_payload(token, |payload| {
        let is_allowed = |group: &Json<'_>| {
            let group = group.as_text();
            group.is_some_and(|group| allowed.iter().any(|allowed| allowed == group))
        };
        match payload.member(claim).ok()?? {
            Json::List(groups) => Some(groups.iter().take(MOST_GROUPS).any(is_allowed)),
            one => Some(is_allowed(one)),
        }
    });
    found.unwrap_or(false)
}

#[cfg(test)]
mod tests;
