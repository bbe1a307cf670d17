//! What Envoy remembers of a pair across all its workers: the gate of each presented token, and the log throttle.
//!
//! Shared data never shrinks (ABI 0.2.1 has no delete), so there is a fixed number of slots and every pair hashes to
//! one. A slot holds up to [`slot::ENTRIES`] fixed-size entries, carries a format version, and is only ever written
//! by compare-and-set. More pairs than entries only push the oldest out: a WARN may then repeat and a gate may be
//! forgotten, but nothing stale passes, because freshness never depends on this memory.

pub mod gate;
pub mod memory;
pub mod slot;
pub mod throttle;
