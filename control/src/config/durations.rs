//! Defaults and limits of durations, with the reason for each limit.

use std::time::Duration;

/// The default and the limits of one setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) default: Duration,
    pub(super) min: Duration,
    /// The shortest duration that is too long.
    pub(super) below: Duration,
    /// The reason for the limits, and what to do.
    pub(super) hint: &'static str,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ANY: Duration = Duration::from_millis(1);

pub(super) const MARGIN: Bounds = Bounds {
    default: seconds(60),
    min: ANY,
    below: seconds(15 * 60),
    hint: "it may not be longer than the filter's margin, and a token with a shorter lifetime is never returned",
};

pub(super) const WATCH_INTERVAL: Bounds = Bounds {
    default: seconds(5),
    min: Duration::from_millis(100),
    below: seconds(10 * 60),
    hint: "the files are read in this interval, and a changed one applies after it",
};

pub(super) const ISSUER_TIMEOUT: Bounds = Bounds {
    default: seconds(35),
    min: ANY,
    below: seconds(10 * 60),
    hint: "a graceful shutdown waits for one call to an issuer",
};

pub(super) const CALLER_DEADLINE: Bounds = Bounds {
    default: seconds(4),
    min: ANY,
    below: seconds(60),
    hint: "it must be shorter than the filter's control.timeout (5s by default), during which the filter holds the user's request",
};

pub(super) const KUBERNETES_START_WAIT: Bounds = Bounds {
    default: seconds(10),
    min: ANY,
    below: seconds(10 * 60),
    hint: "the process serves nothing before, and after it uses the list that was stored last",
};

pub(super) const LEASE: Bounds = Bounds {
    default: seconds(15),
    min: seconds(1),
    below: seconds(60),
    hint: "it must be much shorter than the issuer's reuseInterval: for this long, a replica that died blocks the others from \
          its refresh",
};

pub(super) const RELAY_DEADLINE: Bounds = Bounds {
    default: seconds(8),
    min: ANY,
    below: seconds(10),
    hint: "clients of the issuer give up after about 10s, and an answer that comes later is lost to them",
};

pub(super) const STORE_DEADLINE: Bounds = Bounds {
    default: seconds(2),
    min: ANY,
    below: seconds(60),
    hint: "every request reads the store several times, and may not wait longer than caller_deadline",
};

pub(super) const ACCESS_TOKEN_LIFETIME: Bounds = Bounds {
    default: seconds(60 * 60),
    min: seconds(1),
    below: seconds(60 * 60 + 1),
    hint: "an access token proves its login without a look-up at the filter, for an hour at most",
};

/// A login that no client has refreshed for this long ends.
pub(super) const REFRESH_TOKEN_LIFETIME: Duration = seconds(720 * 3600);

/// A login at our authorization server ends after this long.
pub(super) const LOGIN_LIFETIME: Duration = seconds(2160 * 3600);

/// A registered client registers again after this long.
pub(super) const REGISTRATION_LIFETIME: Duration = seconds(2160 * 3600);

/// A consent is remembered for this long.
pub(super) const REMEMBERED_CONSENT_LIFETIME: Duration = seconds(720 * 3600);
