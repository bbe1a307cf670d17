//! Minutes of load on real Envoy: `cargo xtask soak`. Every test here is ignored by the usual runs.

mod hammer;
mod one_pair;
mod pairs;
mod table;
