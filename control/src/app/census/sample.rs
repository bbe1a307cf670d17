//! An unbiased sample of records whose names are digests: states are read of some, and stand for all. Pure.

/// A record is read if the first 16 bits of its digest are below a bound; this bound takes all.
const ALL: u32 = 1 << 16;

/// How many records there are, and the states of a sample of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample<const STATES: usize> {
    /// At most this many states are held; beyond it the bound is halved.
    most: usize,
    below: u32,
    total: u64,
    /// The first 16 bits and the state of each record of the sample.
    taken: Vec<(u32, usize)>,
}

impl<const STATES: usize> Sample<STATES> {
    /// A sample of at most `most` records, and at least half as many where there are so many.
    pub(crate) fn of_at_most(most: usize) -> Self {
        Self {
            most,
            below: ALL,
            total: 0,
            taken: Vec::new(),
        }
    }

    /// Counts the record with the digest `name` (hex). Whether its state is wanted.
    pub(crate) fn counts(&mut self, name: &str) -> bool {
        self.total += 1;
        bucket(name) < self.below
    }

    /// Adds the state, below `STATES`, of a record that [`Sample::counts`] wanted.
    pub(crate) fn add(&mut self, name: &str, state: usize) {
        let bucket = bucket(name);
        if bucket < self.below {
            self.taken.push((bucket, state));
        }
        while self.taken.len() > self.most && self.below > 1 {
            self.below /= 2;
            let below = self.below;
            self.taken.retain(|&(bucket, _)| bucket < below);
        }
    }

    /// How many records have each state: exact where all were read, else in the sample's proportion.
    pub(crate) fn by_state(&self) -> [u64; STATES] {
        let mut read = [0_u64; STATES];
        for &(_, state) in &self.taken {
            if let Some(count) = read.get_mut(state) {
                *count += 1;
            }
        }
        let all = self.taken.len() as u64;
        if all == 0 {
            return read;
        }
        read.map(|count| {
            let scaled = u128::from(count) * u128::from(self.total) / u128::from(all);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        })
    }
}

/// The first 16 bits of a digest. A name that is no digest is always read.
fn bucket(name: &str) -> u32 {
    let first = name.get(..4).unwrap_or_default();
    u32::from_str_radix(first, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests;
