//! What each user is like: a function of the run's seed and the user's number.

use crate::options::{Options, START_MS};
use crate::random::{mix_two, scaled};
use crate::token::{Kind, Stamp};

/// The server at one of a user's places: all of them differ, and a few servers are used more than others.
pub(crate) fn server_at(options: &Options, user: u64, place: u8) -> u16 {
    let servers = u64::from(options.servers);
    let first = mix_two(options.seed ^ 0x5E7, user);
    // The square makes low numbers frequent: the first tenth of the servers has a third of the sessions.
    let position = scaled(first, servers) * scaled(mix_two(first, 3), servers) / servers;
    let gap = servers / u64::from(options.servers_per_session.max(1));
    ((position + u64::from(place) * gap.max(1)) % servers) as u16
}

/// Whether this user's client logged in at control's own authorization server.
pub(crate) fn is_own(options: &Options, user: u32) -> bool {
    let chance = mix_two(options.seed ^ 0x0777, u64::from(user));
    (chance >> 11) as f64 / (1_u64 << 53) as f64 <= options.own_share
}

/// Whether this user's login has ended at the issuer, which shows when it is refreshed.
pub(crate) fn has_ended(options: &Options, user: u32) -> bool {
    let chance = mix_two(options.seed ^ 0xDEAD, u64::from(user));
    ((chance >> 11) as f64 / (1_u64 << 53) as f64) < options.ended_share
}

/// The ID token with which a user's session begins: of any age, or stale for hours after an idle night.
pub(crate) fn first_token(options: &Options, user: u32) -> Stamp {
    let life = u64::from(options.token_life_seconds);
    let start = START_MS / 1000;
    let exp_seconds = if options.begins_stale() {
        start - 4 * 3600
    } else {
        start + 1 + scaled(mix_two(options.seed ^ 0xA6E, u64::from(user)), life)
    };
    Stamp {
        kind: Kind::Home,
        user,
        number: 1,
        exp_seconds: exp_seconds as u32,
        key: 0,
        server: 0,
    }
}
