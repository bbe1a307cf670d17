//! What all workers of an Envoy share about a pair: the gate of each presented token, the log throttle, and the calls for
//! tokens that control has never accepted.
//!
//! Shared data never shrinks (ABI 0.2.1 has no delete), so there is a fixed number of slots, and a digest with a secret salt
//! assigns one to every pair. A slot holds up to [`slot::PLACES`] pairs, has a format version, and is only written by
//! compare-and-set. Past [`slot::CAPACITY`] pairs some find no place: such a pair is refused without a WARN and without a
//! gate, but nothing stale passes, because freshness never depends on this memory.

pub mod allowance;
pub(crate) mod call_limit;
pub mod gate;
pub mod memory;
pub mod record;
pub mod slot;
pub mod throttle;
pub mod warn_limit;
