//! How long and how short the spans of time may be, and why.

use std::time::Duration;

/// What a setting may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) default: Duration,
    pub(super) least: Duration,
    /// The first that is too long.
    pub(super) below: Duration,
    /// Why, and what to do.
    pub(super) why: &'static str,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const ANY: Duration = Duration::from_millis(1);

pub(super) const MARGIN: Bounds = Bounds {
    default: seconds(60),
    least: ANY,
    below: seconds(15 * 60),
    why: "it may not be longer than the filter's margin, and no token whose whole life is shorter is ever handed out",
};

pub(super) const ISSUER_TIMEOUT: Bounds = Bounds {
    default: seconds(35),
    least: ANY,
    below: seconds(10 * 60),
    why: "an orderly end of the process waits for one call to an issuer",
};

pub(super) const CALLER_DEADLINE: Bounds = Bounds {
    default: seconds(4),
    least: ANY,
    below: seconds(60),
    why: "it must be shorter than the filter's control.timeout (5s by default), which holds the user's request meanwhile",
};

pub(super) const LEASE: Bounds = Bounds {
    default: seconds(15),
    least: seconds(1),
    below: seconds(60),
    why: "it must be much shorter than the issuer's reuseInterval: so long does a replica that died keep the others from its \
          refresh",
};

pub(super) const STORE_DEADLINE: Bounds = Bounds {
    default: seconds(2),
    least: ANY,
    below: seconds(60),
    why: "every request asks the store several times, and none may wait for longer than caller_deadline",
};
