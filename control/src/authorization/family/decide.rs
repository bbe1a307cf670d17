//! What a presented refresh token is due. Pure.

use std::time::Duration;

use tokenward_protocol::duration::whole_ms;

/// What the decision needs of the stored family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredFamily {
    /// The newest generation.
    pub generation: u32,
    /// The first generation of its burst.
    pub burst_first: u32,
    /// The first generation of the burst before.
    pub previous_first: u32,
    /// When the user logged in, Unix ms.
    pub logged_in_at_ms: u64,
}

/// What is known about the presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Presentation {
    /// The generation that it states.
    pub generation: u32,
    /// Whether the family's secret proves it: control gave this very token.
    pub is_proven: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the newest: it is replaced by this generation.
    Rotate(u32),
    /// It was replaced within the newest burst, so parallel processes of the client may hold any token of it: it counts as
    /// the newest, and gets the newest one's answer again as long as the store holds that.
    OfBurst,
    /// It is of the burst before: the same, while the newest burst is open; afterwards it is [`Verdict::Reuse`].
    BeforeBurst,
    /// It was replaced before that: either the client's copy or this one was stolen. The login ends.
    Reuse,
    /// It is a guess, or damaged. Nothing changes.
    Unknown,
    /// The login has reached its end.
    Expired,
}

/// Decides. `login_lifetime` is counted from the login; a login in the future (another replica's clock is ahead) has just
/// begun.
#[must_use]
pub fn decide(
    family: StoredFamily,
    presented: Presentation,
    now_ms: u64,
    login_lifetime: Duration,
) -> Verdict {
    if !presented.is_proven {
        return Verdict::Unknown;
    }
    if now_ms.saturating_sub(family.logged_in_at_ms) >= whole_ms(login_lifetime) {
        return Verdict::Expired;
    }
    let behind = family.generation.checked_sub(presented.generation);
    match behind {
        // `None`: the store has lost a rotation that the client has the answer to.
        None | Some(0) => match presented.generation.checked_add(1) {
            Some(next) => Verdict::Rotate(next),
            None => Verdict::Expired,
        },
        Some(_) if presented.generation >= family.burst_first => Verdict::OfBurst,
        Some(_) if presented.generation >= family.previous_first => Verdict::BeforeBurst,
        Some(_) => Verdict::Reuse,
    }
}

/// How long a login that is used at `now_ms` is stored: `refresh_token_lifetime` more, and not beyond its end.
#[must_use]
pub fn stored_for(
    logged_in_at_ms: u64,
    now_ms: u64,
    refresh_token_lifetime: Duration,
    login_lifetime: Duration,
) -> Duration {
    let age = Duration::from_millis(now_ms.saturating_sub(logged_in_at_ms));
    refresh_token_lifetime.min(login_lifetime.saturating_sub(age))
}
