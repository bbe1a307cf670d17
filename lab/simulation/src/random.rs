//! Numbers from a seed: the same seed gives the same run.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream with this number of a run's seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream)))
    }

    /// The next number, uniform in all of `u64`.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        scaled(self.next(), bound)
    }

    /// A number from 0 to 1, without 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that happens with this chance.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A wait with this mean, in milliseconds: the time to the next event of a process without memory, ten means at the most.
    pub(crate) fn wait_ms(&mut self, mean_ms: u64) -> u64 {
        let wait = -(1.0 - self.unit()).ln() * mean_ms as f64;
        (wait as u64).min(mean_ms.saturating_mul(10))
    }
}

/// Maps a number to another one; each to one of its own (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A number that depends on two.
pub(crate) fn mix_two(one: u64, other: u64) -> u64 {
    mix(one ^ mix(other.wrapping_add(0x9E37_79B9_7F4A_7C15)))
}

/// A uniform number as one below `bound`.
pub(crate) fn scaled(number: u64, bound: u64) -> u64 {
    ((u128::from(number) * u128::from(bound)) >> 64) as u64
}
